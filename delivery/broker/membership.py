"""Whether a consumer is in its group, and stays there, without asking anybody."""

from collections.abc import Set
from dataclasses import dataclass

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.structs import MemberState


@dataclass
class FreshPositions(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Makes the positions after each join those that are committed, as Kafka's own client does.

    kafka-python 3.0.12 keeps its positions in the partitions that it gets again, although others
    may have had them in between: those of a worker that was frozen in mid-join are behind what its
    successor has committed, and its next commit would put that back.
    """

    consumer: KafkaConsumer

    def on_partitions_revoked(self, revoked: Set[TopicPartition]) -> None:
        """Nothing: which ones are ours again is known after the join."""

    def on_partitions_assigned(self, assigned: Set[TopicPartition]) -> None:
        """Forgets the positions, so that the poll in which we joined asks for the committed ones.

        Not the whole state: the broker tells the end of a partition only where it has changed.
        """
        for state in self.consumer._subscription.assignment.values():
            state._position = None  # nothing public does it


def why_absent(consumer: KafkaConsumer) -> str | None:
    """Why the consumer is in its group no more or not yet; None where it is, with or without
    partitions. Any thread may ask.
    """
    state = consumer.group_metadata().state
    if state == MemberState.UNJOINED:
        return "the group is not joined"
    if state == MemberState.REBALANCING:
        return "the group is sharing out its partitions anew"
    # Nothing public tells: without a broker kafka-python goes on saying that it is a member.
    if consumer._coordinator.heartbeat.session_timeout_expired():
        return "Kafka answered no heartbeat for longer than DELIVERY_KAFKA_SESSION_TIMEOUT"
    return None


def rejoin_due(consumer: KafkaConsumer) -> bool:
    """Whether the next poll joins the group anew, after which partitions may be another's."""
    return bool(consumer._coordinator.need_rejoin())  # nothing public tells


def finish_joining(consumer: KafkaConsumer) -> None:
    """Makes the next poll end a join that was answered between two polls.

    A leader joins anew where the topic's partitions changed, and the joining itself takes that
    reason away: a poll that comes after the answer sees no need to join. kafka-python 3.0.12 then
    goes on polling for ever, without heartbeats, and no offset can be committed.
    """
    coordinator = consumer._coordinator
    if coordinator.rebalance_in_progress() and not coordinator.need_rejoin():
        coordinator.request_rejoin()
