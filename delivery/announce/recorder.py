"""What an announcer reports to whoever watches it. The loop does not know who listens."""

from typing import Protocol


class Recorder(Protocol):
    """Records the figures of one announcer. No method fails, waits or asks a server."""

    def turned(self, is_active: bool) -> None:
        """The loop has turned: with the turn, or standing by for it."""

    def announced(self, announcements: int) -> None:
        """So many are committed to Kafka and marked in the database."""

    def retried(self) -> None:
        """A server is away, or another announcer took the turn."""


class NoOpRecorder:
    """The recorder of an announcer that nobody watches."""

    def turned(self, is_active: bool) -> None:
        pass

    def announced(self, announcements: int) -> None:
        pass

    def retried(self) -> None:
        pass
