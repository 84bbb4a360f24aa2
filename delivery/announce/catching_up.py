"""What an announcer before us had committed to Kafka, and not yet marked in the database.

Between its two commits an announcer may end, or lose either server. Whoever comes next has fenced
it first, so that the fate of its last transaction is known, and looks at the end of the topic for
what is still open here. What is found there is marked, and not sent again.
"""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from delivery.announce import announcements
from delivery.announce.announcements import Position, Topic
from delivery.announce.wire import Row
from delivery.broker import committed
from delivery.broker.committed import Extent, Found
from delivery.broker.transactions import PartitionOffset
from delivery.domain.record import UNKNOWN_TOPIC_ID
from delivery.errors import SettingsError
from delivery.postgres.database import Connection
from delivery.settings import KafkaSettings

log = structlog.get_logger()


def catch_up(connection: Connection, kafka: KafkaSettings, name: str) -> Topic:
    """Marks the open rows that the topic's end holds already, and returns the topic.

    The ends of topics that were announced to before, under another DELIVERY_ANNOUNCE_TOPIC, are
    looked at too: what was committed there last may not be marked, and would be sent again here.
    Where nothing was ever announced to it, the present end is noted as the place to look from:
    before the first announcement goes there. Raises SettingsError where there is no such topic,
    ForbiddenError or UnavailableError.
    """
    for former in announcements.topics(connection):
        if former != name:
            _catch_up_former(connection, kafka.model_copy(update={"kafka_topic": former}), former)
    return _catch_up(connection, kafka, name)


def _catch_up_former(connection: Connection, kafka: KafkaSettings, name: str) -> None:
    try:
        _catch_up(connection, kafka, name)
    except SettingsError:  # a wrong setting is told of the present topic too
        log.info("there is no such topic any more, and none of its records to mark", topic=name)


def _catch_up(connection: Connection, kafka: KafkaSettings, name: str) -> Topic:
    state = committed.state(kafka, name)
    topic = Topic(name, state.topic_id)
    positions = announcements.positions(connection, name)
    unread = _unread(state, positions)
    for records in committed.records(kafka, name, unread):
        if found := _open_among(connection, records):
            announcements.mark(connection, topic, list(found), list(found.values()))
            log.info("announced before, and marked now", announcements=len(found))
    ends = {partition: extent.end for partition, extent in state.extents.items()}
    announcements.set_positions(connection, topic, ends)
    return topic


def _unread(state: committed.State, positions: Mapping[int, Position]) -> dict[int, Extent]:
    """Of each partition what lies behind its position; all of it where that is another topic's."""
    unread = {}
    for partition, extent in state.extents.items():
        first = extent.beginning
        if not positions:
            first = extent.end
        elif partition in positions:
            topic_id, offset = positions[partition]
            is_ours = UNKNOWN_TOPIC_ID in {topic_id, state.topic_id} or topic_id == state.topic_id
            if is_ours and offset <= extent.end:
                first = max(offset, extent.beginning)
        unread[partition] = Extent(first, extent.end)
    return unread


def _open_among(connection: Connection, records: Sequence[Found]) -> dict[Row, PartitionOffset]:
    """The open rows that these records announce, and where each lies."""
    offsets = {
        event_id: PartitionOffset(record.partition, record.offset)
        for record in records
        if (event_id := _event_id(record)) is not None
    }
    if not offsets:
        return {}
    orders = {int(record.key) for record in records if record.key and _is_order(record.key)}
    rows = announcements.open_rows_of(connection, list(orders))
    return {row: offsets[row.event_id] for row in rows if row.event_id in offsets}


def _event_id(record: Found) -> UUID | None:
    """The id in a record of ours. Others write to the topic too, such as the service before."""
    if record.key is None or record.value is None or not _is_order(record.key):
        return None
    try:
        return UUID(json.loads(record.value)["eventId"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _is_order(key: bytes) -> bool:
    return key.isdigit() and len(key) <= 19 and int(key) < 2**63
