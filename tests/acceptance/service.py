"""A service of the test's own: a database, a topic, a consumer group, and workers on them."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import processes
from kafka import KafkaAdminClient, KafkaProducer
from processes import Process, wait_until
from stream import Sent
from tables import accounted

from delivery.broker.group import STABLE, describe
from delivery.postgres.database import Connection


@dataclass
class Service:
    """What the processes share, and those that were started."""

    bootstrap_servers: str
    topic: str
    group: str
    connection: Connection
    folder: Path
    settings: dict[str, str]
    started: list[Process] = field(default_factory=list)

    def run(self, *arguments: str, **settings: str) -> Process:
        """Starts Python with these arguments and the service's settings."""
        process = processes.start(self._log(), list(arguments), self.settings | settings)
        self.started.append(process)
        return process

    def command(self, *arguments: str, **settings: str) -> Process:
        """Runs `delivery` with these arguments, by a fork: a command that ends by itself."""
        process = processes.fork(self._log(), list(arguments), self.settings | settings)
        self.started.append(process)
        return process

    def worker(self, *options: str, **settings: str) -> Process:
        """Starts `delivery worker`."""
        return self.run("-m", "delivery", "worker", *options, **settings)

    def drain(self, **settings: str) -> dict[str, int]:
        """Runs `delivery worker --drain` to its end, and returns what it says it did."""
        drained = self.command("worker", "--drain", **settings)
        assert drained.exit_code() == 0, drained.stderr()
        return drained.totals()

    def _log(self) -> Path:
        return self.folder / f"stderr-{len(self.started)}"

    def publish(self, sent: Iterable[Sent]) -> None:
        """Publishes the records in their order. When it returns, they are in the topic."""
        with closing(KafkaProducer(bootstrap_servers=self.bootstrap_servers)) as producer:
            for record in sent:
                producer.send(
                    self.topic,
                    record.value,
                    record.key,
                    partition=record.partition,
                    timestamp_ms=record.milliseconds,
                )
            producer.flush()

    def wait_until_accounted(self, records: int) -> None:
        """Waits until the logs hold so many records."""
        what = f"{records} records are accounted for"
        wait_until(lambda: accounted(self.connection) >= records, what, *self.started)

    def wait_for_members(self, number: int) -> None:
        """Waits until so many workers are in the group and have their partitions."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)) as admin:

            def joined() -> bool:
                group = describe(admin, self.group)
                return group.state == STABLE and len(group.members) == number

            wait_until(joined, f"{number} workers are in the group", *self.started)

    def committed(self) -> dict[int, int]:
        """The group's offset for each partition of which it has read something."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)) as admin:
            offsets = admin.list_group_offsets(self.group)[self.group]
        return {at.partition: found.offset for at, found in offsets.items() if found.offset > 0}
