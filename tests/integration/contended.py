"""Workers and erasures of the same orders, all at once."""

import threading
from collections.abc import Callable, Sequence

from pydantic import SecretStr
from records import batch, value

from delivery.domain.event import Contract
from delivery.erasure.erase import Erasure
from delivery.inbox import transaction
from delivery.postgres import database
from delivery.postgres.database import Connection

SECONDS = 120


def work_and_erase(
    url: str,
    orders: Sequence[int],
    batches: int,
    erasures: int,
    partitions: Sequence[int],
    **who: int | str,
) -> list[BaseException]:
    """Two workers with so many batches of the orders, and two erasers. Returns what failed."""
    failures: list[BaseException] = []

    def guarded(task: Callable[[Connection], None]) -> None:
        try:
            with database.connect(SecretStr(url), "test") as own:
                task(own)
        except BaseException as error:
            failures.append(error)

    def work(partition: int) -> Callable[[Connection], None]:
        def task(own: Connection) -> None:
            for minute in range(batches):
                contents = [value(order, minute - order % 3, **who) for order in orders]
                records = batch(*contents, first=minute * 100, partition=partition)
                transaction.process(own, Contract(), records)

        return task

    def erase(own: Connection) -> None:
        for number in range(erasures):
            for _ in Erasure("order", "a test").erase(own, orders[number % 3 :], []):
                pass

    tasks = [*map(work, partitions), erase, erase]
    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    return failures
