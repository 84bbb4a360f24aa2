"""The private parts of kafka-python 3.0 that we lean on; those of a fetch are in `reader`.

For each: what it is for; which public way was tried; what breaks without it.

`_subscription.assignment`, with `position` and `highwater` of its values
    The lag without a request. `position()` looks at all partitions for each one, and may ask the
    broker. Metrics and totals would lack it.
`_subscription.seek`, with a leader epoch
    Notices a log that was truncated while nobody read it. `seek()` takes a bare offset. Records
    that took the place of truncated ones would stay unread.
`_coordinator.heartbeat.session_timeout_expired`
    A worker that was away commits no offsets. Without a broker `group_metadata()` goes on saying
    that it is a member. It would put back its successor's offsets.
`_coordinator.need_rejoin`
    Nothing is polled ahead of a rejoin. There is no public way. The offsets of the batch in hand
    would stay uncommitted at each rebalance.
`_coordinator.request_rejoin`
    Finishes a join that was answered between two polls. There is no public way. The member would
    poll for ever, without heartbeats and without a commit.
`_cluster.config`
    Has a deleted topic stay deleted. The option `allow_auto_create_topics` reaches no request. A
    worker would make the topic again, with the broker's number of partitions.
`_cluster.request_update`, `topic_id`, `partitions_for_topic`, `unauthorized_topics`
    Notice within a second a topic that was deleted, made anew or forbidden. `topics()` asks for all
    topics of the cluster and tells no id. The new topic would be read at the old one's positions.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from operator import attrgetter
from uuid import UUID

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import MemberState, OffsetAndMetadata

from delivery.domain.record import UNKNOWN_TOPIC_ID
from delivery.errors import SettingsError

_PARTS = (
    "_subscription.assignment",
    "_subscription.seek",
    "_coordinator.heartbeat.session_timeout_expired",
    "_coordinator.need_rejoin",
    "_coordinator.request_rejoin",
    "_cluster.config",
    "_cluster.request_update",
    "_cluster.topic_id",
    "_cluster.partitions_for_topic",
    "_cluster.unauthorized_topics",
)


def require_parts(consumer: KafkaConsumer) -> None:
    """Raises SettingsError where a part is missing: a renamed one would be set in silence."""
    require(consumer, _PARTS)


def require(owner: object, parts: Iterable[str]) -> None:
    """Raises SettingsError where `owner`, of kafka-python, lacks one of the parts."""
    for part in parts:
        try:
            attrgetter(part)(owner)
        except AttributeError:
            raise SettingsError(
                f"kafka-python {version('kafka-python')} has no {part}, which this version relies "
                "on: install kafka-python>=3.0.12,<3.1"
            ) from None


def never_create_topics(consumer: KafkaConsumer) -> None:
    """Has requests for metadata leave a missing topic missing."""
    consumer._cluster.config["allow_auto_create_topics"] = False


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as of the last metadata. `topic_id` is `UNKNOWN_TOPIC_ID` below Kafka 2.8."""

    exists: bool
    is_forbidden: bool
    topic_id: UUID


def topic_state(consumer: KafkaConsumer, topic: str) -> TopicState:
    """What the last metadata says of `topic`, without a request."""
    cluster = consumer._cluster
    return TopicState(
        exists=cluster.partitions_for_topic(topic) is not None,
        is_forbidden=topic in cluster.unauthorized_topics,
        topic_id=cluster.topic_id(topic) or UNKNOWN_TOPIC_ID,
    )


def refresh_metadata(consumer: KafkaConsumer, timeout_s: float) -> bool:
    """Asks for the subscribed topics' metadata. Returns whether Kafka answered in time."""
    update = consumer._cluster.request_update()
    deadline = time.monotonic() + timeout_s
    while not update.is_done and time.monotonic() < deadline:
        time.sleep(0.001)  # kafka-python's own thread takes the answer
    return bool(update.is_done)


def lags(
    consumer: KafkaConsumer, ends: Mapping[TopicPartition, int]
) -> Mapping[TopicPartition, int]:
    """How many offsets are not polled yet in each partition that was fetched from, or has an end
    in `ends`.
    """
    known = {
        partition: (state.position, max(state.highwater or 0, ends.get(partition, 0)))
        for partition, state in consumer._subscription.assignment.copy().items()
        if state.highwater is not None or partition in ends
    }
    return {p: max(0, end - at.offset) for p, (at, end) in known.items() if at is not None}


def positions(consumer: KafkaConsumer) -> Mapping[TopicPartition, int]:
    """The next offset to be polled in each partition that has a position."""
    return {
        partition: state.position.offset
        for partition, state in consumer._subscription.assignment.copy().items()
        if state.position is not None
    }


def seek(consumer: KafkaConsumer, partition: TopicPartition, offset: int, epoch: int = -1) -> None:
    """Sets the position. With the leader epoch of the record before it, kafka-python asks the
    leader whether that record is still the one there.
    """
    consumer._subscription.seek(partition, OffsetAndMetadata(offset, "", epoch))


def why_absent(consumer: KafkaConsumer) -> str | None:
    """Why the consumer is in its group no more or not yet; None where it is, with or without
    partitions. Any thread may ask.
    """
    state = consumer.group_metadata().state
    if state == MemberState.UNJOINED:
        return "the group is not joined"
    if state == MemberState.REBALANCING:
        return "the group is sharing out its partitions anew"
    if consumer._coordinator.heartbeat.session_timeout_expired():
        return "Kafka answered no heartbeat for longer than DELIVERY_KAFKA_SESSION_TIMEOUT"
    return None


def is_rejoin_due(consumer: KafkaConsumer) -> bool:
    """Whether the next poll joins the group anew, after which partitions may be another's."""
    return bool(consumer._coordinator.need_rejoin())


def finish_joining(consumer: KafkaConsumer) -> None:
    """Makes the next poll end a join that was answered between two polls.

    A new partition makes the leader rejoin, and the rejoin clears that condition: a later poll sees
    no reason to finish the join.
    """
    is_rebalancing = consumer.group_metadata().state == MemberState.REBALANCING
    if is_rebalancing and not is_rejoin_due(consumer):
        consumer._coordinator.request_rejoin()
