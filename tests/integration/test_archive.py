"""Whole months leave the log into files, on a real PostgreSQL through the real command."""

import csv
import errno
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest
import zstandard
from every_command import Run, as_user
from records import RECEIVED, TOPIC
from served import served

from delivery.archive import compressed, removal, take
from delivery.archive.folder import Folder, opened
from delivery.cli import DONE, NO, UNREACHABLE, USAGE
from delivery.domain.event import Contract
from delivery.domain.month import Month
from delivery.domain.record import UNKNOWN_TOPIC_ID, Record
from delivery.inbox import log_end, transaction
from delivery.postgres.database import Connection

NOVEMBER = "processed_events-2024-11.csv.zst"
DECEMBER = "processed_events-2024-12.csv.zst"


def event(order_id: int, time: str, **fields: Any) -> bytes:
    """An event of the order at that time, in no form that anything would write it in again."""
    order = json.dumps({"orderId": order_id, **fields}, ensure_ascii=False)
    return f'{{ "createdAt" : "{time}",\r\n\t"event":{order},"a": 1.0, "a": 2 }}'.encode()


RECORDS = [
    event(1, "2024-11-01T00:00:00Z", requestMessage='"quoted", and, with\nlines\\N'),  # created
    event(1, "2024-12-31T23:59:59.999999Z"),  # updated
    event(1, "2024-11-30T23:59:59.999999Z", quantity=3),  # stale
    event(2, "2024-12-01T00:00:00Z", text="문" * 200_000),  # created, and longer than csv's limit
    event(2, "2024-12-01T00:00:00Z", text="문" * 200_000),  # duplicate
    event(2, "2024-12-01T00:00:00Z", text="another"),  # conflict
    b"no JSON",
    event(3, "2025-01-01T00:00:00Z"),  # created
    event(4, "1999-11-05T00:00:00Z"),  # created, in the default partition
    event(5, "1999-12-05T00:00:00Z"),  # created, there too
    event(6, "2024-11-15T00:00:00Z"),  # created
    event(6, "2025-01-15T00:00:00Z"),  # updated
]


def records(*contents: bytes, first: int = 0) -> list[Record]:
    return [Record(TOPIC, 0, first + n, RECEIVED, None, c, []) for n, c in enumerate(contents)]


def process(connection: Connection, *contents: bytes, first: int = 0) -> dict[str, int]:
    return dict(+transaction.process(connection, Contract(), records(*contents, first=first)))


@pytest.fixture
def log(connection: Connection) -> Connection:
    """A log of three months, and of two that lie in the default partition."""
    for month in ("2024_11", "2024_12", "2025_01"):
        year, number = map(int, month.split("_"))
        until = f"{year + number // 12}-{number % 12 + 1:02}-01Z"
        name = f"processed_events_{month}"
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF processed_events "
            f"FOR VALUES FROM ('{year}-{number:02}-01Z') TO ('{until}')"
        )
        connection.execute(f"SELECT keep_log('{name}')")
    process(connection, *RECORDS)
    return connection


ROWS = "SELECT t::text FROM processed_events t ORDER BY consumed_at, record_offset"


def rows(connection: Connection) -> list[str]:
    return [row for (row,) in connection.execute(ROWS)]


def text(path: Path) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())


def members(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(path).decode(), newline="")))


@pytest.fixture
def archive(run: Run, database_url: str, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs `delivery archive --to` a folder of the test's own."""

    def archive(before: str = "2025-01", to: Path = tmp_path) -> tuple[int, str, str]:
        return run(database_url, "archive", "--before", before, "--to", str(to))

    return archive


Archive = Callable[..., tuple[int, str, str]]


def verified(run: Run, url: str) -> tuple[int, str, str]:
    return run(url, "verify", "--database-only")


def test_the_months_before_leave_the_log_and_lie_in_files(
    log: Connection, archive: Archive, tmp_path: Path
) -> None:
    code, out, err = archive()
    assert code == DONE, err
    assert out.splitlines()[2] == f"2024-11: 3 events in {tmp_path / NOVEMBER}"
    assert [row.split(",")[0] for row in rows(log)] == ["(3", "(6"]
    assert [row["order_id"] for row in members(tmp_path / NOVEMBER)] == ["1", "1", "6"]
    assert members(tmp_path / NOVEMBER)[0]["payload"].encode() == RECORDS[0]
    assert members(tmp_path / DECEMBER)[1]["payload"].encode() == RECORDS[3]
    left = log.execute("SELECT to_regclass('processed_events_2024_11')").fetchall()
    assert left == [(None,)]
    assert sorted(path.name for path in tmp_path.glob("*1999*")) == [
        "processed_events-1999-11.csv.zst", "processed_events-1999-11.json",
        "processed_events-1999-12.csv.zst", "processed_events-1999-12.json",
    ]  # fmt: skip


def test_the_default_partition_refuses_changes_again_after_months_left_it(
    log: Connection, archive: Archive
) -> None:
    archive(before="1999-12")
    assert log.execute("SELECT order_id FROM processed_events_default").fetchall() == [(5,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is append-only"):
        log.execute("DELETE FROM processed_events_default")


def test_a_manifest_says_what_is_in_its_file(
    log: Connection, archive: Archive, tmp_path: Path
) -> None:
    archive()
    said = json.loads((tmp_path / "processed_events-2024-11.json").read_text())
    file = (tmp_path / NOVEMBER).read_bytes()
    assert (said["sha256"], said["bytes"]) == (hashlib.sha256(file).hexdigest(), len(file))
    assert said["text_sha256"] == hashlib.sha256(text(tmp_path / NOVEMBER)).hexdigest()
    assert (said["month"], said["part"], said["rows"]) == ("2024-11", 1, 3)
    assert said["coordinates"] == [
        {
            "record_topic": TOPIC,
            "record_partition": 0,
            "record_topic_id": "00000000-0000-0000-0000-000000000000",
            "first_offset": 0,
            "last_offset": 10,
            "rows": 3,
        }
    ]
    ((noted,),) = log.execute("SELECT manifest FROM archived_months WHERE month = '2024-11-01'")
    assert noted == said


def test_a_second_run_does_nothing(
    log: Connection, archive: Archive, contents: Callable[[], Any], tmp_path: Path
) -> None:
    archive()
    before = contents(), {path: path.stat() for path in tmp_path.iterdir()}
    code, out, err = archive()
    assert (code, out) == (DONE, "")
    assert err == "nothing to do: the log has no events before 2025-01\n"
    assert (contents(), {path: path.stat() for path in tmp_path.iterdir()}) == before


def test_a_replay_of_the_topic_changes_not_one_row(
    log: Connection, archive: Archive, contents: Callable[[], Any], run: Run, database_url: str
) -> None:
    archive()
    before = contents()
    assert process(log, *RECORDS) == {"redelivered": len(RECORDS)}
    assert contents() == before
    code, out, err = verified(run, database_url)
    assert (code, out) == (DONE, ""), out
    assert (
        "archived, and so not compared: 1999-11 to 1999-12, 2024-11 to 2024-12 (events: 7)" in err
    )


def test_an_older_event_of_a_known_order_makes_no_second_delivery(
    log: Connection, archive: Archive, run: Run, database_url: str
) -> None:
    archive()
    deliveries = log.execute("SELECT * FROM deliveries ORDER BY 1").fetchall()
    assert process(log, event(1, "2024-11-02T00:00:00Z"), RECORDS[0], first=50) == {"stale": 2}
    assert process(log, event(2, "2024-12-01T00:00:00Z", text="x"), first=60) == {"stale": 1}
    assert process(log, event(6, "2025-01-16T00:00:00Z"), first=70) == {"updated": 1}
    assert process(log, event(1, "2025-01-16T00:00:00Z"), first=71) == {"updated": 1}
    after = log.execute("SELECT * FROM deliveries ORDER BY 1").fetchall()
    assert [row[0] for row in after] == [row[0] for row in deliveries]
    assert after[1] == deliveries[1]
    code, out, _ = verified(run, database_url)
    assert (code, out) == (DONE, "")


def test_events_that_come_later_go_to_a_second_file(
    log: Connection, archive: Archive, run: Run, database_url: str, tmp_path: Path
) -> None:
    archive()
    first = (tmp_path / NOVEMBER).read_bytes()
    process(log, event(1, "2024-11-02T00:00:00Z"), event(9, "2024-11-03T00:00:00Z"), first=50)
    log.execute("SELECT ensure_partitions(24, 0)")
    code, out, err = archive()
    assert (code, err.count("writing")) == (DONE, 1)
    second = tmp_path / "processed_events-2024-11.part2.csv.zst"
    assert out == f"2024-11: 2 events in {second}\n"
    assert [row["order_id"] for row in members(second)] == ["1", "9"]
    assert (tmp_path / NOVEMBER).read_bytes() == first
    assert verified(run, database_url)[:2] == (DONE, "")


class Interrupted(BaseException):
    """As a signal would: nothing of ours expects it."""


STEPS = [
    (compressed, "write", "before"),
    (compressed, "write", "after"),
    (Folder, "read_back", "before"),
    (Folder, "read_back", "after"),
    (removal, "_locked", "after"),
    (Folder, "publish", "before"),
    (Folder, "publish", "after"),
    (removal, "_note", "after"),
    (removal, "_take_out", "before"),
    (removal, "_take_out", "after"),
    (take, "_removed", "after"),
]


@pytest.mark.parametrize(("place", "step", "when"), STEPS)
@pytest.mark.parametrize("kills", [False, True])
def test_interrupted_at_any_step_nothing_is_lost_and_it_can_be_run_again(
    log: Connection,
    archive: Archive,
    run: Run,
    database_url: str,
    tmp_path: Path,
    place: Any,
    step: str,
    when: str,
    kills: bool,
) -> None:
    before = rows(log)
    with pytest.MonkeyPatch.context() as patch:
        true = getattr(place, step)

        def interrupted(*given: Any, **named: Any) -> Any:
            if when == "after":
                true(*given, **named)
            raise Interrupted

        patch.setattr(place, step, interrupted)
        if kills:  # nothing is tidied up
            patch.setattr(Folder, "clear", lambda _self: None)
        with pytest.raises(Interrupted):
            archive()
    assert _everywhere(log, tmp_path) >= set(before)
    code, _, err = archive()
    assert code == DONE, err
    assert _everywhere(log, tmp_path) == set(before)
    assert len(rows(log)) == 2
    assert sorted(path.name for path in tmp_path.glob("*.zst*")) == [
        "processed_events-1999-11.csv.zst", "processed_events-1999-12.csv.zst", NOVEMBER, DECEMBER,
    ]  # fmt: skip
    assert verified(run, database_url)[:2] == (DONE, "")


def _everywhere(connection: Connection, folder: Path) -> set[str]:
    """The rows of the log and those of the finished files, as they are in the log."""
    found = set(rows(connection))
    for path in folder.glob("*.csv.zst"):
        found.update(_restored(connection, path))
    return found


def _restored(connection: Connection, path: Path) -> list[str]:
    """The rows of a file, as docs/archive.md has them restored."""
    names = text(path).partition(b"\n")[0].decode()
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE TABLE restored (LIKE processed_events INCLUDING DEFAULTS)")
        with connection.cursor().copy(
            f"COPY restored ({names}) FROM STDIN (FORMAT csv, HEADER MATCH)"
        ) as copy:
            copy.write(text(path))
        return [row for (row,) in connection.execute("SELECT t::text FROM restored t")]


def test_a_file_can_be_put_back_into_the_log(
    log: Connection, archive: Archive, run: Run, database_url: str, tmp_path: Path
) -> None:
    before = rows(log)
    archive()
    for path in sorted(tmp_path.glob("*.csv.zst"), reverse=True):
        with log.transaction():
            into = "COPY processed_events FROM STDIN (FORMAT csv, HEADER MATCH)"
            with log.cursor().copy(into) as copy:
                copy.write(text(path))
            log.execute("DELETE FROM archived_months WHERE file_name = %s", (path.name,))
        assert verified(run, database_url)[:2] == (DONE, "")
    assert rows(log) == before
    assert process(log, *RECORDS) == {"redelivered": len(RECORDS)}


def test_an_event_that_comes_while_its_month_is_written_is_in_the_file_too(
    log: Connection, archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    late = [event(9, "2024-11-03T00:00:00Z")]
    true = Folder.read_back

    def read_back(folder: Folder, month: Month, written: Any) -> int:
        if str(month) == "2024-11" and late:
            process(log, late.pop(), first=50)
        return true(folder, month, written)

    monkeypatch.setattr(Folder, "read_back", read_back)
    code, _, err = archive()
    assert code == DONE
    assert "events of 2024-11 arrived, or were erased, meanwhile: writing it again" in err
    assert [row["order_id"] for row in members(tmp_path / NOVEMBER)] == ["1", "1", "6", "9"]


def test_a_row_that_is_erased_meanwhile_is_not_in_the_file(
    log: Connection, archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    true = removal.remove
    erase = "SELECT erase_personal_data(ARRAY[1]::bigint[], ARRAY[]::bigint[], 'order', 'asked')"

    def remove(connection: Connection, content: Any, publish: Any) -> int:
        log.execute(erase)
        return true(connection, content, publish)

    monkeypatch.setattr(removal, "remove", remove)
    assert archive()[0] == DONE
    assert b"quoted" not in text(tmp_path / NOVEMBER)


def test_events_that_go_on_arriving_are_left_in_the_log(
    log: Connection, archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    numbers = count(100)
    true = Folder.read_back

    def read_back(folder: Folder, month: Month, written: Any) -> int:
        number = next(numbers)
        process(log, event(number, "1999-11-07T00:00:00Z"), first=number)
        return true(folder, month, written)

    monkeypatch.setattr(Folder, "read_back", read_back)
    code, out, err = archive()
    assert (code, out) == (NO, "")
    assert err.splitlines()[-1] == (
        "delivery: events of 1999-11 go on arriving: run `delivery archive` again later"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_reads_otherwise_than_it_was_written_takes_nothing_out(
    log: Connection, archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = rows(log)
    true = Folder.read_back

    def read_back(folder: Folder, month: Month, written: Any) -> int:
        path = next(tmp_path.glob("*.unfinished"))
        path.write_bytes(path.read_bytes()[:-9] + b"123456789")
        return true(folder, month, written)

    monkeypatch.setattr(Folder, "read_back", read_back)
    code, out, err = archive()
    assert (code, out) == (UNREACHABLE, "")
    assert "reads otherwise" in err.splitlines()[-1] or "damaged" in err.splitlines()[-1]
    assert rows(log) == before
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_same_name_that_is_not_ours_stays(
    log: Connection, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / NOVEMBER).write_bytes(b"somebody's")
    assert archive()[0] == DONE
    assert (tmp_path / NOVEMBER).read_bytes() == b"somebody's"
    assert len(members(tmp_path / "processed_events-2024-11.part2.csv.zst")) == 3


def test_a_query_that_holds_the_log_is_in_the_way_and_nothing_is_lost(
    log: Connection, archive: Archive, database_url: str, tmp_path: Path
) -> None:
    before = rows(log)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM processed_events LIMIT 1")
        code, _, err = archive(before="2024-12")
    assert code == UNREACHABLE
    assert "2024-11 is not taken out of the log (SQLSTATE 55P03" in err.splitlines()[-1]
    assert _everywhere(log, tmp_path) == set(before)
    assert archive()[0] == DONE
    assert _everywhere(log, tmp_path) == set(before)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("2024-13", "'2024-13' is not a month such as 2025-01"),
        ("2025", "'2025' is not a month such as 2025-01"),
        ("9999-01", "the months before 9999-01 are not over"),
    ],
)
def test_a_month_that_is_none_or_not_over_is_refused(
    archive: Archive, before: str, says: str
) -> None:
    code, _, err = archive(before=before)
    assert (code, err.count("\n")) == (USAGE, 1)
    assert says in err


def test_all_months_before_this_one_may_be_taken(log: Connection, archive: Archive) -> None:
    assert archive(before=str(Month.of(datetime.now(UTC))))[0] == DONE
    assert rows(log) == []


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_is_full_or_fails_is_one_line_and_changes_nothing(
    log: Connection,
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: int,
) -> None:
    before = rows(log)

    def fsync(_descriptor: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fsync)
    code, out, err = archive()
    assert (code, out) == (UNREACHABLE, "")
    assert err.splitlines()[-1] == f"delivery: --to {tmp_path}: {os.strerror(error)}"
    assert rows(log) == before
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_had_is_one_line(
    log: Connection, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for path, says in (("file", "File exists"), ("no/where", "No such file or directory")):
        code, _, err = archive(to=tmp_path / path)
        assert (code, err) == (USAGE, f"delivery: --to {tmp_path / path}: {says}\n")
    assert len(rows(log)) == 9


def test_two_archives_do_not_write_to_one_folder(
    log: Connection, archive: Archive, tmp_path: Path
) -> None:
    with opened(tmp_path):
        code, _, err = archive()
    assert code == USAGE
    assert "another `delivery archive` writes to it" in err


@pytest.mark.parametrize("kind", ["worker", "reader"])
def test_only_the_owner_takes_months_out(
    log: Connection, run: Run, database_url: str, tmp_path: Path, kind: str
) -> None:
    role = f"{database_url.rpartition('/')[2]}_{kind}"
    log.execute(f"CREATE ROLE {role} LOGIN")
    try:
        assert run(database_url, "migrate", f"--{kind}-role", role)[0] == DONE
        url = as_user(role, database_url)
        code, out, err = run(url, "archive", "--before", "2025-01", "--to", str(tmp_path))
        assert (code, out, err.count("\n")) == (USAGE, "", 1)
        assert f"role {role} may not take months out of the log" in err
        assert len(rows(log)) == 9
    finally:
        log.execute(f"DROP OWNED BY {role}")
        log.execute(f"DROP ROLE {role}")


def test_verify_of_a_log_that_is_archived_as_a_whole_calls_it_no_empty_one(
    connection: Connection, archive: Archive, run: Run, database_url: str
) -> None:
    process(connection, RECORDS[0])
    assert archive()[0] == DONE
    code, _, told = verified(run, database_url)
    assert (code, "events: 0, " in told, "months archived" in told) == (DONE, True, True)


def test_verify_finds_what_is_wrong_beside_an_archive(
    log: Connection, archive: Archive, run: Run, database_url: str
) -> None:
    archive()
    delivery = "INSERT INTO deliveries (order_id, event_time) VALUES ({}, '{}')"
    log.execute(delivery.format(77, "2025-01-09Z"))
    log.execute(delivery.format(78, "2024-11-09Z"))  # its event may be archived: nobody can tell
    log.execute(
        "INSERT INTO duplicate_events (record_topic, record_partition, record_offset, order_id, "
        "event_time, payload_differs) VALUES ('t', 0, 1, 3, '2025-01-02Z', false), "
        "('t', 0, 2, 1, '2024-11-02Z', false)"
    )
    log.execute(
        "INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic, "
        "record_partition, record_offset) VALUES (88, '2025-01-02Z', 'stale', "
        """'{"event": {"orderId": 88}, "createdAt": "2025-01-02T00:00:00Z"}', 'orders', 0, 0)"""
    )
    code, out, _ = verified(run, database_url)
    assert code == NO
    found = {line.partition(":")[0].partition(",")[0] for line in out.splitlines()}
    assert found == {
        "extra_delivery order 77",
        "contradicted_outcome order 88",
        "duplicate_of_no_event order 3",
        "coordinates_twice order 88",
    }


def test_archived_records_are_not_missing_from_the_log(log: Connection, archive: Archive) -> None:
    partition = TOPIC, 0, UNKNOWN_TOPIC_ID
    archive(before="2025-02")
    for end in (12, 11, 5, 1):
        assert log_end.missing_from(log, {partition: end}) == {}
    assert log_end.missing_from(log, {partition: 20}) == {partition: 12}


def test_the_history_of_a_file_is_that_of_the_log_before(
    log: Connection, archive: Archive, run: Run, database_url: str, tmp_path: Path
) -> None:
    questions = [
        (), ("1",), ("--outcome", "stale"), ("--record", f"{TOPIC}/0/2"), ("--limit", "1"),
        ("--since", "2020-01-01"), ("--until", "2020-01-01"), ("6", "--outcome", "created"),
    ]  # fmt: skip
    log.execute("CREATE TEMPORARY VIEW _ AS SELECT 1")
    said = {}
    for form in ("json", "csv"):
        for question in questions:
            out = run(database_url, "history", *question, "--format", form)[1]
            said[form, question] = out
    archive()
    november = {f'"record_offset": {offset}, ' for offset in (0, 2, 10)}
    for (form, question), before in said.items():
        file = ("--archive", str(tmp_path / NOVEMBER))
        code, out, _ = run(
            "postgresql://nowhere:1/x", "history", *question, *file, "--format", form
        )
        assert code == DONE
        if form == "json" and "--limit" not in question:
            expected = [line for line in before.splitlines() if any(o in line for o in november)]
            assert out.splitlines() == expected
        elif question == ():
            assert set(csv_rows(out)) <= set(csv_rows(before))
            assert len(csv_rows(out)) == 4
    newest = run("postgresql://nowhere:1/x", "history", "--limit", "1", *file, "--format", "json")
    assert '"record_offset": 10' in newest[1]
    assert newest[1].count("\n") == 1


def csv_rows(output: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader(io.StringIO(output, newline=""))]


def test_a_file_that_is_cut_or_none_of_ours_is_one_line(
    log: Connection, archive: Archive, run: Run, tmp_path: Path
) -> None:
    archive()
    whole = (tmp_path / DECEMBER).read_bytes()
    others = {
        "cut": whole[:-20],
        "longer": whole + b"x" * 20_000,
        "flipped": whole[:200] + bytes([whole[200] ^ 255]) + whole[201:],
        "text": b"order_id,event_time\n",
        "empty": b"",
        "other": zstandard.compress(b"a,b\n1,2\n"),
    }
    for name, content in others.items():
        path = tmp_path / name
        path.write_bytes(content)
        code, _, err = run("", "history", "--archive", str(path), "--format", "json")
        assert (code, err.count("\n")) == (USAGE, 1), (name, err)
        assert str(path) in err
    code, _, err = run("", "history", "--archive", str(tmp_path / "none"))
    assert (code, err) == (
        USAGE, f"delivery: --archive {tmp_path / 'none'}: No such file or directory\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("question", "months"),
    [
        (("1",), "1999-11 to 1999-12, 2024-11 to 2024-12"),
        (("3",), ""),
        (("999",), ""),
        (("--record", f"{TOPIC}/0/10"), "2024-11"),
        (("--record", f"{TOPIC}/0/7"), ""),
        (("--since", "2000-01-01"), "1999-11 to 1999-12, 2024-11 to 2024-12"),
        (("--until", "2000-01-01"), ""),
        (("--outcome", "rejected"), ""),
        (("--outcome", "stale"), "1999-11 to 1999-12, 2024-11 to 2024-12"),
    ],
)
def test_history_names_the_archived_months_that_a_question_touches(
    log: Connection,
    archive: Archive,
    run: Run,
    database_url: str,
    question: tuple[str, ...],
    months: str,
) -> None:
    process(log, event(3, "2025-01-02T00:00:00Z"), first=30)
    log.execute("UPDATE deliveries SET created_at = created_at + '1 hour' WHERE order_id = 3")
    archive()
    _, _, err = run(database_url, "history", *question)
    said = [line for line in err.splitlines() if "archived" in line]
    assert len(said) == (1 if months else 0)
    if months:
        assert said[0].startswith(f"months archived, and so not shown: {months}, in processed_")


def test_there_is_no_way_down_from_an_archive(
    log: Connection, archive: Archive, run: Run, database_url: str
) -> None:
    archive()
    code, _, err = run(database_url, "downgrade", "0007")
    assert (code, err.count("\n")) == (USAGE, 1)
    assert "months of the log are archived" in err
    assert rows(log)


def test_pages_and_api_name_the_archived_months(
    log: Connection, archive: Archive, database_url: str
) -> None:
    process(log, event(3, "2025-01-02T00:00:00Z"), first=30)
    log.execute("UPDATE deliveries SET created_at = created_at + '1 hour' WHERE order_id = 3")
    archive(before="2000-01")
    line = (
        "Months archived, and so not shown: 1999-11 to 1999-12, in "
        "processed_events-1999-11.csv.zst, processed_events-1999-12.csv.zst"
    )
    with served(database_url) as address:

        def read(path: str) -> str:
            with urlopen(address + path, timeout=30) as answer:
                return re.sub(r"</?bdi[^>]*>", "", answer.read().decode())

        assert "archived" not in read("/orders/3")
        assert json.loads(read("/api/orders/3"))["archived_months"] == []
        assert line in read("/orders/1")
        assert line in read("/orders/5")
        assert json.loads(read("/api/orders/5")) | {"delivery": {}} == {
            "order_id": 5, "delivery": {}, "history": [], "truncated": False,
            "archived_months": ["1999-11", "1999-12"],
        }  # fmt: skip
        assert line in read("/events")
        assert "archived" not in read("/events?outcome=rejected")


@pytest.fixture
def piped(database_url: str) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs `delivery archive --to -` in a process of its own, whose stdout is a pipe."""

    def piped(*options: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "delivery", "archive", "--before", "2025-01", "--to", "-"]
        environment = os.environ | {"DELIVERY_DATABASE_URL": database_url}
        return subprocess.run([*command, *options], env=environment, capture_output=True)

    return piped


def test_a_month_goes_to_stdout_and_leaves_the_log_once_it_is_confirmed(
    log: Connection, archive: Archive, piped: Any, run: Run, database_url: str, tmp_path: Path
) -> None:
    archive(before="2024-11")
    before = rows(log)
    written = piped()
    assert written.returncode == DONE, written.stderr
    (tmp_path / "stored").write_bytes(written.stdout)
    assert len(members(tmp_path / "stored")) == 3
    assert rows(log) == before
    sha256 = hashlib.sha256(written.stdout).hexdigest()
    assert f"--confirm {sha256}" in written.stderr.decode()
    assert piped("--confirm", sha256[:-1]).returncode == USAGE
    other = piped("--confirm", "0" * 64)
    assert (other.returncode, other.stderr.count(b"\n")) == (NO, 1)
    assert b"2024-11 is not what was stored" in other.stderr
    assert rows(log) == before
    confirmed = piped("--confirm", sha256)
    assert confirmed.returncode == DONE, confirmed.stderr
    assert set(rows(log)) == set(before) - set(_restored(log, tmp_path / "stored"))
    assert verified(run, database_url)[:2] == (DONE, "")
    assert process(log, *RECORDS) == {"redelivered": len(RECORDS)}


def test_what_came_after_a_month_was_written_to_stdout_is_not_confirmed(
    log: Connection, archive: Archive, piped: Any
) -> None:
    archive(before="2024-11")
    sha256 = hashlib.sha256(piped().stdout).hexdigest()
    process(log, event(9, "2024-11-03T00:00:00Z"), first=50)
    before = rows(log)
    assert piped("--confirm", sha256).returncode == NO
    assert rows(log) == before
