"""`delivery quickstart`"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import psycopg

from delivery import embedded
from delivery.cli import output
from delivery.settings import PREFIX

EXAMPLES = Path(str(files("delivery.cli"))) / "examples"

# Another service moves `status`: from then on a newer event comes too late.
_DISPATCH = "UPDATE deliveries SET status = 'dispatched' WHERE order_id = 1001"

_TOLD = """
Order 1001 became one delivery, although its event came twice, an older one came after a newer one,
and one contradicted another. Each record is in the history, at its place in Kafka."""

_NEXT = """
Next, in a terminal of its own, both servers until Ctrl-C:
  {delivery} dev | tee dev.env

and in another one, in this folder:
  source dev.env
  {delivery} publish {orders}
  {delivery} worker --drain
  {delivery} history 1001
  {delivery} --help"""


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
        embedded.servers(Path(folder), fast_start=True, progress=output.note) as servers,
    ):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)} | {
            f"{PREFIX}DATABASE_URL": servers.database_url,
            f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            f"{PREFIX}LOG_LEVEL": "WARNING",
        }
        _run_commands(environment, servers.database_url)
    output.note(_TOLD)
    output.note(_next())


def _next() -> str:
    """What to type from here on, as this shell finds it: `delivery` may be on no PATH."""
    ours = Path(sys.executable).with_name("delivery")
    found = shutil.which("delivery")
    is_ours = found is not None and Path(found).resolve() == ours.resolve()
    return _NEXT.format(
        delivery="delivery" if is_ours or not ours.exists() else _typed(ours),
        orders=_typed(EXAMPLES / "orders.jsonl"),
    )


def _typed(path: Path) -> str:
    """From the folder that one is in, where it lies below."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _run_commands(environment: dict[str, str], database_url: str) -> None:
    def delivery(*arguments: str) -> None:
        words = " ".join(Path(a).name if a.endswith(".jsonl") else a for a in arguments)
        output.note(f"\n$ delivery {words}")
        subprocess.run([sys.executable, "-m", "delivery", *arguments], env=environment, check=True)

    delivery("migrate")
    delivery("publish", str(EXAMPLES / "orders.jsonl"))
    delivery("worker", "--drain")
    output.note(f"\nnow another service sends order 1001 on its way:\n  {_DISPATCH}")
    _execute(database_url, _DISPATCH)
    delivery("publish", str(EXAMPLES / "late.jsonl"))
    delivery("worker", "--drain")
    delivery("history", "1001")
    delivery("stats")


def _execute(database_url: str, statement: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(statement)
