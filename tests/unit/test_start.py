"""Where reading begins in a partition, and what is said where that is not the committed offset."""

from uuid import UUID

import pytest

from delivery.broker.start import (
    BEYOND_THE_END,
    DELETED,
    RECREATED,
    Committed,
    Start,
    metadata_of,
    start,
    topic_id_in,
)
from delivery.domain.record import UNKNOWN_TOPIC_ID

OURS, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("committed", "begin"),
    [
        (None, Start(10)),
        (Committed(10, OURS), Start(10)),
        (Committed(50, OURS, epoch=3), Start(50, epoch=3)),
        (Committed(90, OURS), Start(90)),
        # Another service's offsets, or those of a version that wrote no id.
        (Committed(50), Start(50)),
        # The same number in a topic that was deleted says nothing of this one.
        (Committed(50, OTHER, epoch=3), Start(10, why=RECREATED)),
        (Committed(5, OTHER), Start(10, why=RECREATED)),
        (Committed(500, OTHER), Start(10, why=RECREATED)),
        (Committed(4, OURS), Start(10, lost=6, why=DELETED)),
        (Committed(4), Start(10, lost=6, why=DELETED)),
        (Committed(91, OURS), Start(10, why=BEYOND_THE_END)),
        (Committed(91), Start(10, why=BEYOND_THE_END)),
    ],
)
def test_reading_begins_at_the_committed_offset_where_it_is_of_this_log(
    committed: Committed | None, begin: Start
) -> None:
    assert start(committed, OURS, beginning=10, end=90) == begin


def test_where_kafka_tells_no_topic_id_every_offset_is_of_this_log() -> None:
    assert start(Committed(50, OTHER), UNKNOWN_TOPIC_ID, 10, 90) == Start(50)


@pytest.mark.parametrize("topic_id", [OURS, OTHER, UNKNOWN_TOPIC_ID])
def test_the_metadata_of_an_offset_gives_the_topics_id_again(topic_id: UUID) -> None:
    assert topic_id_in(metadata_of(topic_id)) == topic_id


@pytest.mark.parametrize("metadata", [None, "", "topic-id", "topic-id x", "somebody's own text"])
def test_what_others_write_beside_an_offset_is_no_topics_id(metadata: str | None) -> None:
    assert topic_id_in(metadata) == UNKNOWN_TOPIC_ID
