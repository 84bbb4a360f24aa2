"""Where reading begins in a partition: at the committed offset, unless it is another log's. Pure.

An offset means something only within one incarnation of a topic. The offsets that we commit carry
the topic's id as their metadata, so that one of a topic that was deleted is told from one of the
topic that was made under its name.
"""

from typing import NamedTuple
from uuid import UUID

from delivery.domain.record import UNKNOWN_TOPIC_ID, may_be_same_topic


class Committed(NamedTuple):
    """An offset that the group has committed, with the topic's id if it was one of us.

    `epoch` is the leader epoch of the record before the offset, -1 where it is not known.
    """

    offset: int
    topic_id: UUID = UNKNOWN_TOPIC_ID
    epoch: int = -1


class Start(NamedTuple):
    """Where reading begins. `why` says why that is not the committed offset; None where it is.

    `lost` is how many records were deleted before they were read.
    """

    offset: int
    epoch: int = -1
    lost: int = 0
    why: str | None = None


RECREATED = "the topic was deleted and made anew: reading from its beginning"
DELETED = "records were deleted unread by retention"
BEYOND_THE_END = "the partition ends before the position: it lost records, reading it all again"


def start(committed: Committed | None, topic_id: UUID, beginning: int, end: int) -> Start:
    """The first offset to read, of a partition that has the offsets `beginning` until `end`."""
    if committed is None:
        return Start(beginning)
    if not may_be_same_topic(committed.topic_id, topic_id):
        return Start(beginning, why=RECREATED)
    if committed.offset < beginning:
        return Start(beginning, lost=beginning - committed.offset, why=DELETED)
    if committed.offset > end:
        return Start(beginning, why=BEYOND_THE_END)
    return Start(committed.offset, committed.epoch)


def metadata_of(topic_id: UUID) -> str:
    """What is committed beside an offset."""
    return "" if topic_id == UNKNOWN_TOPIC_ID else f"topic-id {topic_id}"


def topic_id_in(metadata: str | None) -> UUID:
    """The id that `metadata_of` wrote; `UNKNOWN_TOPIC_ID` for what others committed."""
    prefix, _, text = (metadata or "").partition(" ")
    try:
        return UUID(text) if prefix == "topic-id" else UNKNOWN_TOPIC_ID
    except ValueError:
        return UNKNOWN_TOPIC_ID
