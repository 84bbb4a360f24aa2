"""What a worker says: JSON lines, with records' coordinates and nothing of their contents."""

import json
import os
import pty
import subprocess
import sys
from collections import Counter
from typing import Any

from processes import Process, wait_until
from service import Service
from stream import Sent, stream, truth

# `delivery worker`, but that a minute takes half a second.
HASTY = """
import sys
from delivery import cli
from delivery.worker import loop

loop.TOTALS_EVERY_S = 0.5
sys.argv[1:] = ["worker"]
sys.exit(cli.run())
"""

SAYING = """
import structlog
from delivery import log

log.configure("INFO")
structlog.get_logger().info("hello", record="orders/0/1")
"""


def said(worker: Process, event: str | None = None) -> list[dict[str, Any]]:
    """Its lines, or those with this text. Each has to be JSON."""
    lines = [json.loads(line) for line in worker.stderr().splitlines()]
    return [line for line in lines if event in {None, line["event"]}]


def test_a_flood_of_records_that_change_nothing_is_no_line_each(service: Service) -> None:
    sent = stream(71, 2000)
    service.publish(sent)
    drained = service.worker("--drain", batch_size="50")
    assert drained.exit_code() == 0
    doubt, warning, stopped = said(drained)[1:]
    assert "fsync=off" in doubt["event"]  # the tests' server forgets, and is faster for it
    rejected = [place for place, outcome in truth(sent).outcomes.items() if outcome == "rejected"]
    assert len(rejected) > 50
    assert warning["event"].startswith("a record became a dead letter: ")
    assert warning["level"] == "warning"
    partition, offset = rejected[0]
    assert warning["record"] == f"{service.topic}/{partition}/{offset}"
    assert stopped["event"] == "stopped"


def test_each_batch_is_a_line_with_its_coordinates_at_debug(service: Service) -> None:
    sent = stream(72, 500)
    service.publish(sent)
    drained = service.worker("--drain", batch_size="200", log_level="DEBUG")
    assert drained.exit_code() == 0
    batches = said(drained, "batch")
    places = [batch["at"] for batch in batches]
    assert len(places) >= 3
    assert all(len(place) == 1 for place in places)
    spans = [place[0].removeprefix(f"{service.topic}/0/").split("-") for place in places]
    ends = [(int(first), int(last)) for first, last in spans]
    assert [first for first, _ in ends] == [0, *(last + 1 for _, last in ends[:-1])]
    assert ends[-1][1] == 499
    assert sum(batch["records"] for batch in batches) == 500
    counted = Counter[str]()
    for batch in batches:
        counted.update({name: batch.get(name, 0) for name in set(truth(sent).outcomes.values())})
    assert counted == Counter(truth(sent).outcomes.values())


def test_nothing_of_a_record_is_logged_at_any_level(service: Service) -> None:
    """Not by kafka-python either, whose own debug lines hold whole responses."""
    secret = "Mrs Kim, 3rd floor"
    value = '{"event": {"orderId": 1, "requestMessage": "%s"}, "createdAt": "2026-01-01T00:00"}'
    good = (value % secret).encode()
    service.publish([Sent(0, secret.encode(), one, 0, None) for one in (good, good, good[:-1])])
    drained = service.worker("--drain", log_level="DEBUG")
    assert drained.exit_code() == 0
    assert said(drained, "batch")
    assert secret not in drained.stderr()
    assert "orderId" not in drained.stderr()


def test_totals_are_told_again_and_again_also_where_nothing_happens(service: Service) -> None:
    sent = stream(73, 300)
    service.publish(sent)
    worker = service.run("-c", HASTY)
    service.wait_until_accounted(300)
    wait_until(lambda: len(said(worker, "totals")) >= 3, "three lines of totals", worker)
    last = said(worker, "totals")[-1]
    assert last["level"] == "info"
    assert last["lag"] == 0
    told = {name: last[name] for name in set(truth(sent).outcomes.values())}
    assert told == Counter(truth(sent).outcomes.values())


def test_a_batch_that_ends_the_worker_is_named(service: Service) -> None:
    worker = service.worker()
    service.wait_for_members(1)
    service.connection.execute("ALTER TABLE deliveries RENAME TO gone")
    service.publish(stream(74, 10))
    assert worker.exit_code() == 2
    *lines, complaint = worker.stderr().splitlines()
    last, totals = map(json.loads, lines[-2:])
    assert (last["level"], last["written"]) == ("critical", 0)
    assert last["at"][0].startswith(f"{service.topic}/0/0-")
    assert totals["event"] == "stopped"
    assert complaint.startswith("delivery: ")


def test_people_on_a_terminal_read_lines_and_everybody_else_json() -> None:
    command = [sys.executable, "-c", SAYING]
    piped = subprocess.run(command, stderr=subprocess.PIPE, check=True).stderr
    told = json.loads(piped)
    assert (told["event"], told["level"], told["record"]) == ("hello", "info", "orders/0/1")
    screen, terminal = pty.openpty()
    try:
        subprocess.run(command, stderr=terminal, check=True)
        shown = os.read(screen, 4096).decode()
    finally:
        os.close(terminal)
        os.close(screen)
    assert "hello" in shown
    assert "{" not in shown
