"""What Kafka says of itself, of a topic and of a group, and what we may do there.

Kafka tells each client its own rights: nothing has to be tried, and nothing changes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import for_code

from delivery.broker import options
from delivery.broker.group import Group, describe
from delivery.broker.refusals import Rights
from delivery.settings import KafkaSettings

RIGHTS = Rights(topic="DESCRIBE", group="DESCRIBE")


@dataclass(frozen=True)
class TopicState:
    """A topic's partitions. `rights` are ours, in the words of Kafka's ACLs."""

    rights: frozenset[str]
    partitions: int
    replicas: int  # of the partition that has the fewest
    leaderless: tuple[int, ...]
    behind: tuple[int, ...]  # partitions of which a replica is not in sync


@dataclass(frozen=True)
class Inspection:
    """A connected client. Its methods raise UnavailableError; ForbiddenError without DESCRIBE."""

    settings: KafkaSettings
    admin: KafkaAdminClient

    def brokers(self) -> int:
        """How many there are."""
        with options.errors_translated(self.settings, RIGHTS):
            return len(self.admin.describe_cluster()["brokers"])

    def topic(self, name: str) -> TopicState:
        """The topic of that name, which is not made where there is none."""
        settings = self.settings.model_copy(update={"kafka_topic": name})
        with options.errors_translated(settings, RIGHTS):
            (found,) = self.admin.describe_topics([name])
            if found["error_code"]:
                raise for_code(found["error_code"])
        return _topic_state(found)

    def group(self) -> Group:
        """The group of the settings."""
        with options.errors_translated(self.settings, RIGHTS):
            return describe(self.admin, self.settings.kafka_group_id)


@contextmanager
def opened(settings: KafkaSettings) -> Iterator[Inspection]:
    """Raises SettingsError or UnavailableError where Kafka can't be reached."""
    admin = options.connect(KafkaAdminClient, settings)
    try:
        yield Inspection(settings, admin)
    finally:
        admin.close()


def _topic_state(found: dict[str, Any]) -> TopicState:
    partitions = found["partitions"]
    return TopicState(
        frozenset(found["authorized_operations"] or ()),
        len(partitions),
        min((len(p["replica_nodes"]) for p in partitions), default=0),
        tuple(p["partition_index"] for p in partitions if p["leader_id"] < 0),
        tuple(
            p["partition_index"]
            for p in partitions
            if len(p["isr_nodes"]) < len(p["replica_nodes"])
        ),
    )
