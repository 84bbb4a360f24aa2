"""`delivery quickstart`"""

import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import psycopg

from delivery import embedded
from delivery.cli import output
from delivery.settings import PREFIX

_EXAMPLES = Path(str(files("delivery.cli"))) / "examples"

# Another service moves `status`: from then on a newer event comes too late.
_DISPATCH = "UPDATE deliveries SET status = 'dispatched' WHERE order_id = 1001"

_NEXT = """
Order 1001 became one delivery, although its event came twice, an older one came after a newer one,
and one contradicted another. Each record is in the history, at its place in Kafka.

Next:
  delivery dev             keeps both servers up, and prints the two settings for another terminal
  delivery worker          consumes until Ctrl-C
  delivery publish FILE    publishes each line of FILE as a record
  delivery history ID      what became of an order's records
  delivery --help          all commands"""


def quickstart() -> None:
    """See order events become deliveries, from an empty machine.

    It takes about a minute. Starts a PostgreSQL and a Kafka of its own in a temporary folder,
    publishes a few orders with duplicates, late, newer and broken events, runs the worker, and
    shows what became of them. Leaves nothing behind.
    """
    output.note(
        "starting PostgreSQL and Kafka in a temporary folder (the first time they are downloaded)"
    )
    with (
        tempfile.TemporaryDirectory(prefix="delivery-", ignore_cleanup_errors=True) as folder,
        embedded.servers(Path(folder), fast_start=True) as servers,
    ):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)} | {
            f"{PREFIX}DATABASE_URL": servers.database_url,
            f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            f"{PREFIX}LOG_LEVEL": "WARNING",
        }
        _run_commands(environment, servers.database_url)
    output.note(_NEXT)


def _run_commands(environment: dict[str, str], database_url: str) -> None:
    def delivery(*arguments: str) -> None:
        words = " ".join(Path(a).name if a.endswith(".jsonl") else a for a in arguments)
        output.note(f"\n$ delivery {words}")
        subprocess.run([sys.executable, "-m", "delivery", *arguments], env=environment, check=True)

    delivery("migrate")
    delivery("publish", str(_EXAMPLES / "orders.jsonl"))
    delivery("worker", "--drain")
    output.note(f"\nnow another service sends order 1001 on its way:\n  {_DISPATCH}")
    _execute(database_url, _DISPATCH)
    delivery("publish", str(_EXAMPLES / "late.jsonl"))
    delivery("worker", "--drain")
    delivery("history", "1001")
    delivery("stats")


def _execute(database_url: str, statement: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(statement)
