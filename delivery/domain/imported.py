"""Rows that were imported and not consumed: how they are told from Kafka's, and compared. Pure."""

import re

from delivery.domain.event import OrderCreated

# A topic of Kafka's can't have a colon in its name, so that nobody takes these coordinates for a
# record's: `import:NAME`, the number of the import of that name, and the line.
PREFIX = "import:"
SOURCE = "delivery.importBaseline"  # of the payloads: looks like a method, as an event's does

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9._-]")
LONGEST_NAME = 200


def topic_of(name: str) -> str:
    """What stands for the topic in the rows of an import from `name`, a file's or a server's."""
    return PREFIX + (_NOT_IN_A_NAME.sub("_", name)[-LONGEST_NAME:] or "_")


def is_import(topic: str) -> bool:
    """Whether the row was imported."""
    return topic.startswith(PREFIX)


def agrees(given: OrderCreated, event: OrderCreated) -> bool:
    """Whether `event` says what an import gave. What it did not give may be anything."""
    pairs = zip(given.delivery_row, event.delivery_row, strict=True)
    return all(known is None or known == said for known, said in pairs)
