"""Who is in a consumer group, seen from outside: nobody joins it."""

from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import GroupIdNotFoundError

from delivery.domain.record import Partition
from delivery.errors import UnavailableError

STABLE = "Stable"  # no member is joining or leaving: each has its partitions


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


def describe(admin: KafkaAdminClient, name: str) -> Group:
    """The group as its coordinator knows it. Raises KafkaError or UnavailableError."""
    told = admin.describe_groups([name])[name]
    if (error := told["error"]) and GroupIdNotFoundError.__name__ not in error:
        raise UnavailableError(f"Kafka does not tell whether the group has members: {error}")
    return Group(name, told["group_state"] or "Dead", tuple(map(_member, told["members"])))


def _member(told: dict[str, Any]) -> Member:
    # A member that is joining has no assignment yet: it is empty bytes then.
    assignment = told["member_assignment"] or {"assigned_partitions": ()}
    partitions = sorted(
        (assigned["topic"], number)
        for assigned in assignment["assigned_partitions"]
        for number in assigned["partitions"]
    )
    return Member(told["member_id"], told["client_host"].lstrip("/"), tuple(partitions))
