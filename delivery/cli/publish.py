"""`delivery publish`"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import wrap_file

from delivery import log, settings
from delivery.broker import producer
from delivery.broker.producer import Outgoing, Published
from delivery.cli import event_file, output
from delivery.errors import UnavailableError

TOO_LARGE = 1  # exit code
NAMED_LINES = 5  # so many of the lines that are too large are named


def publish(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(
            metavar="FILE", help="A record's value on each line; `-` is standard input."
        ),
    ],
    key_by_order: Annotated[
        bool,
        typer.Option(
            "--key-by-order",
            help="Use the order's id as key where it can be read. Without, records have no key.",
        ),
    ] = False,
) -> None:
    """Publish each line of a file as one record.

    The topic is DELIVERY_KAFKA_TOPIC. The bytes of a line are not looked at, so
    that broken records can be published too. Blank lines are skipped, and so is
    a byte order mark. A file that has no such lines is refused: a compressed
    one, UTF-16, or one JSON array. Records have no key, as the order service
    sends them: the events of one order then lie in several partitions.

    A line that is larger than the topic takes is left out and named, and the
    exit code is 1. When Kafka goes away, the exit code is 3: publish the file
    again, the worker recognises what it has already.

    \b
    Examples:
      delivery publish orders.jsonl
      zcat orders.jsonl.gz | delivery publish - --key-by-order
    """
    kafka = settings.load(settings.KafkaSettings)
    log.configure("INFO")
    outcome = _Outcome(kafka.kafka_topic, Published())
    try:
        with _with_progress(file) as read:
            lines = event_file.lines(read, file.name)
            with producer.connected(kafka, outcome.published) as publisher:
                publisher.publish(_records(lines, key_by_order, outcome))
    except UnavailableError as error:
        raise UnavailableError(f"{error}; {outcome}") from error
    except KeyboardInterrupt:
        output.note(f"interrupted: {outcome}")
        raise
    output.note(str(outcome))
    if outcome.published.too_large:
        raise typer.Exit(TOO_LARGE)


@dataclass
class _Outcome:
    """What became of the lines, to be said in one line at the end."""

    topic: str
    published: Published
    blank: int = 0

    def __str__(self) -> str:
        text = f"records published to topic {self.topic}: {self.published.acknowledged}"
        if self.blank:
            text += f", blank lines skipped: {self.blank}"
        if lines := self.published.too_large:
            named = ", ".join(map(str, lines[:NAMED_LINES]))
            more = ", ..." if len(lines) > NAMED_LINES else ""
            text += f", larger than the topic takes: {len(lines)} (line {named}{more})"
        return text


def _records(lines: Iterable[bytes], key_by_order: bool, outcome: _Outcome) -> Iterator[Outgoing]:
    for number, line in enumerate(lines, 1):
        value = line.removesuffix(b"\n").removesuffix(b"\r")
        if value.strip():
            yield Outgoing(number, _order_key(value) if key_by_order else None, value)
        else:
            outcome.blank += 1


def _order_key(value: bytes) -> bytes | None:
    try:
        order_id = json.loads(value)["event"]["orderId"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return str(order_id).encode() if type(order_id) is int else None


@contextmanager
def _with_progress(file: typer.FileBinaryRead) -> Iterator[Iterable[bytes]]:
    """The file; on a terminal with a bar that shows how much of it is read."""
    size = os.fstat(file.fileno()).st_size  # 0 for a pipe
    if not size or not sys.stderr.isatty():
        yield file
        return
    with wrap_file(file, size, description="publishing", console=Console(stderr=True)) as lines:
        yield lines
