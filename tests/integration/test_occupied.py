"""The quick look at whole partitions finds what the look at each of their coordinates finds."""

import random
from collections.abc import Iterable
from uuid import UUID

import pytest

from delivery.domain.record import UNKNOWN_TOPIC_ID, Partition
from delivery.postgres.database import Connection
from delivery.verify import coordinates, occupied
from delivery.verify.coordinates import Gap
from delivery.verify.finding import Finding

EVENT = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, record_topic_id)
VALUES (%s, now(), 'created', '{}', %s, %s, %s, %s)
"""
DUPLICATE = """
INSERT INTO duplicate_events (record_topic, record_partition, record_offset, order_id, event_time,
                              payload_differs)
VALUES (%s, %s, %s, 1, now(), false)
"""
LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers, reason,
                          error, resolution, resolved_at)
VALUES (%s, %s, %s, '[]', 'not_json', '', %s, CASE WHEN %s THEN now() END)
"""

TODAY, BEFORE = UUID(int=2), UUID(int=1)

PARTITIONS: list[Partition] = [("a", 0), ("a", 1), ("b", 0)]


class Log:
    """Rows of the logs, of which a test says only the coordinates."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events = 0

    def event(self, partition: Partition, offset: int, topic_id: UUID = UNKNOWN_TOPIC_ID) -> None:
        self.events += 1
        self.connection.execute(EVENT, (self.events, *partition, offset, topic_id))

    def duplicate(self, partition: Partition, offset: int) -> None:
        self.connection.execute(DUPLICATE, (*partition, offset))

    def letter(self, partition: Partition, offset: int, replayed: bool = False) -> None:
        resolution = "replayed" if replayed else None
        self.connection.execute(LETTER, (*partition, offset, resolution, replayed))


@pytest.fixture
def log(connection: Connection) -> Log:
    return Log(connection)


def quick(log: Log, committed: int = 200) -> list[Finding | Gap]:
    """What is found, after it was asserted that a look at each of the coordinates finds it too."""
    offsets = {(*partition, TODAY): committed for partition in PARTITIONS}
    everywhere = occupied.everywhere(log.connection, TODAY)
    found = _sorted(coordinates.account(everywhere, offsets, {}))
    each = occupied.behind(log.connection, dict.fromkeys(PARTITIONS, 0), TODAY)
    assert found == _sorted(coordinates.account(each, offsets, {}))
    return found


def _sorted(found: Iterable[Finding | Gap]) -> list[Finding | Gap]:
    return sorted(found, key=str)


def is_whole(log: Log) -> bool:
    ((whole,),) = log.connection.execute(f"SELECT bool_and(is_whole) FROM ({occupied._PARTITIONS})")
    return bool(whole)


LAST = 130  # offsets of three blocks of 64, the third one not full


def written(log: Log, *without: int) -> None:
    """A partition that is in the logs offset by offset, but for some."""
    for offset in range(LAST + 1):
        if offset in without:
            continue
        if offset % 10 == 3:
            log.duplicate(("a", 0), offset)
        elif offset % 10 == 7:
            log.letter(("a", 0), offset)
        else:
            log.event(("a", 0), offset)


def test_nothing_is_found_where_each_offset_is_in_the_logs_once(log: Log) -> None:
    written(log)
    log.letter(("a", 0), 5, replayed=True)  # it is an event by now
    assert quick(log, LAST + 1) == [Gap("a", 1, 0, LAST + 1), Gap("b", 0, 0, LAST + 1)]
    assert is_whole(log)


@pytest.mark.parametrize("offset", [1, 62, 63, 64, 65, 127, 128, 129])
def test_a_missing_offset_is_a_gap(log: Log, offset: int) -> None:
    written(log, offset)
    assert Gap("a", 0, offset, offset + 1) in quick(log)


def test_the_gaps_before_the_first_and_behind_the_last_offset_are_found(log: Log) -> None:
    written(log, 0, 1, 2)
    found = quick(log)
    assert Gap("a", 0, 0, 3) in found
    assert Gap("a", 0, LAST + 1, 200) in found


@pytest.mark.parametrize("missing", [None, 10, 70])
def test_an_offset_twice_is_found_also_where_another_one_is_missing(
    log: Log, missing: int | None
) -> None:
    written(log, *[] if missing is None else [missing])
    log.letter(("a", 0), 20)
    (twice,) = (finding for finding in quick(log) if isinstance(finding, Finding))
    assert (twice.kind, twice.coordinates) == ("coordinates_twice", ("a", 0, 20))


@pytest.mark.parametrize("twice", [None, 20, 70])
def test_a_replayed_letter_of_no_record_is_found_also_where_an_offset_is_there_twice(
    log: Log, twice: int | None
) -> None:
    written(log, 30)
    log.letter(("a", 0), 30, replayed=True)
    if twice is not None:
        log.letter(("a", 0), twice)
    found = [f.kind for f in quick(log) if isinstance(f, Finding)]
    assert found == ["coordinates_twice"] * (twice is not None) + ["replayed_nowhere"]


@pytest.mark.parametrize("seed", range(12))
def test_both_looks_find_the_same_in_any_logs(log: Log, seed: int) -> None:
    rng = random.Random(seed)
    for partition in PARTITIONS:
        first, last = sorted(rng.choices([0, 1, 63, 64, 65, 127, 128, 140], k=2))
        for offset in range(first, last + 1):
            for _ in range(rng.choices([1, 0, 2], [200, 1, 1])[0]):
                log.event(partition, offset)
        for offset in rng.choices(range(150), k=rng.randint(0, 2)):
            log.letter(partition, offset, replayed=rng.random() < 0.7)
    quick(log, rng.choice([0, 64, 150]))


# A topic that was deleted and made anew: see `delivery.broker.start`


def test_two_topics_of_one_name_are_each_accounted_for(log: Log) -> None:
    for offset in range(50):
        log.event(("a", 0), offset, BEFORE)
    for offset in range(30):
        log.event(("a", 0), offset, TODAY)
    found = coordinates.account(
        occupied.everywhere(log.connection, TODAY), {("a", 0, TODAY): 40}, {}
    )
    assert list(found) == [Gap("a", 0, 30, 40)]


def test_the_old_topics_rows_hide_no_lost_record_of_the_new_one(log: Log) -> None:
    for offset in range(50):
        log.event(("a", 0), offset, BEFORE)
    found = coordinates.account(
        occupied.everywhere(log.connection, TODAY), {("a", 0, TODAY): 40}, {}
    )
    assert list(found) == [Gap("a", 0, 0, 40)]


def test_a_record_that_is_twice_in_one_of_them_is_found(log: Log) -> None:
    for topic_id in (BEFORE, TODAY, BEFORE):
        log.event(("a", 0), 0, topic_id)
    (found,) = coordinates.account(
        occupied.everywhere(log.connection, TODAY), {("a", 0, TODAY): 1}, {}
    )
    assert isinstance(found, Finding)
    assert found.kind == "coordinates_twice"


def test_rows_of_a_version_that_knew_no_ids_go_on_with_those_of_one_that_does(log: Log) -> None:
    for offset in range(50):
        log.event(("a", 0), offset, UNKNOWN_TOPIC_ID if offset < 20 else TODAY)
    found = coordinates.account(
        occupied.everywhere(log.connection, TODAY), {("a", 0, TODAY): 50}, {}
    )
    assert list(found) == []
