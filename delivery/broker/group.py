"""Who is in a consumer group, seen from outside: nobody joins it."""

import time
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupIdNotFoundError,
)

from delivery.domain.record import Partition
from delivery.errors import UnavailableError

STABLE = "Stable"  # no member is joining or leaving: each has its partitions

# A new broker makes the topic of the offsets when it is asked for a coordinator for the first time,
# and one that takes over reads it first. kafka-python's admin tells that, and does not ask again.
_STARTING = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError)
COORDINATOR_TIMEOUT_S = 10.0
RETRY_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Member:
    """A worker. `host` is the address that it connects from; `partitions` are those it reads."""

    member_id: str
    host: str
    partitions: tuple[Partition, ...]


@dataclass(frozen=True)
class Group:
    """A group that nobody ever joined has no members, and the state `Dead`."""

    name: str
    state: str  # Kafka's word, such as `Stable` or `Empty`
    members: tuple[Member, ...]
    rights: frozenset[str] | None = None  # ours, in the words of Kafka's ACLs; None: not told

    @property
    def held(self) -> set[Partition]:
        """The partitions that some member reads."""
        return {partition for member in self.members for partition in member.partitions}


def describe(admin: KafkaAdminClient, name: str) -> Group:
    """The group as its coordinator knows it, after it was waited for where it is starting.

    Raises KafkaError or UnavailableError.
    """
    deadline = time.monotonic() + COORDINATOR_TIMEOUT_S
    while (described := _ask(admin, name)) is None or _is(described["error"], *_STARTING):
        if time.monotonic() > deadline:
            raise UnavailableError(f"Kafka has no coordinator yet for group {name}")
        time.sleep(RETRY_INTERVAL_S)
    if (error := described["error"]) and not _is(error, GroupIdNotFoundError):
        raise UnavailableError(f"Kafka does not tell whether the group has members: {error}")
    return Group(
        name,
        described["group_state"] or "Dead",
        tuple(map(_member, described["members"])),
        _rights(described),
    )


def _rights(described: dict[str, Any]) -> frozenset[str] | None:
    operations = described.get("authorized_operations")
    return None if operations is None else frozenset(operations)


def _ask(admin: KafkaAdminClient, name: str) -> dict[str, Any] | None:
    """What Kafka says of the group; None where its coordinator is not known yet."""
    try:
        described: dict[str, Any] = admin.describe_groups([name])[name]
    except _STARTING:
        return None
    return described


def _is(error: str | None, *kinds: type[Exception]) -> bool:
    """An error of the group comes as a text with its name."""
    return error is not None and any(kind.__name__ in error for kind in kinds)


def _member(described: dict[str, Any]) -> Member:
    # A member that is joining has no assignment yet: it is empty bytes then.
    assignment = described["member_assignment"] or {"assigned_partitions": ()}
    partitions = sorted(
        (assigned["topic"], number)
        for assigned in assignment["assigned_partitions"]
        for number in assigned["partitions"]
    )
    return Member(described["member_id"], described["client_host"].lstrip("/"), tuple(partitions))
