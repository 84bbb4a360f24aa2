"""What the loop needs of Kafka: `delivery.broker.consumer.GroupConsumer` has it, and a fake of the
unit tests.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from delivery.domain.record import Partition, Record

End = Mapping[Any, int]  # for each partition the offset after the last record to read


class Consumer(Protocol):
    """A member of a consumer group. `GroupConsumer` says what each method guarantees."""

    def poll(self) -> list[Record]: ...

    def poll_ahead(self) -> list[Record]: ...

    def commit(self, records: Sequence[Record]) -> None: ...

    def wait(self) -> None: ...

    def rewind(self, records: Sequence[Record]) -> None: ...

    def idle(self, timeout_s: float) -> None: ...

    def has_reached(self, end: End) -> bool: ...

    def lags(self) -> Mapping[Partition, int]: ...

    def lost_to_retention(self) -> int: ...
