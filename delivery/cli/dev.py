"""`delivery dev`"""

import shlex
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from delivery import embedded
from delivery.cli import output
from delivery.postgres import migrations

LOOK_EVERY = 1.0  # seconds; a signal ends the wait at once


def dev(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Where the servers keep their data. Default: the user's data folder.",
        ),
    ] = None,
) -> None:
    """Run a PostgreSQL and a Kafka until Ctrl-C.

    Prints the settings that the other commands need. The database is migrated,
    the topic OrderCreateEvent is there, and the data is kept for the next time.
    Needs the extra delivery\\[embedded], but neither Docker nor a system package;
    Kafka is downloaded the first time.

    \b
    Example, the other two lines in another terminal:
      delivery dev | tee dev.env
      source dev.env
      delivery worker
    """
    # SIGTERM as Ctrl-C: also while the servers start.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        output.note("starting PostgreSQL and Kafka")
        with embedded.servers(data, progress=output.note) as servers:
            output.note("migrating the database")
            migrations.upgrade(SecretStr(servers.database_url))
            _print_settings(servers)
            while True:
                time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        output.note("stopped; the data is kept")


def _print_settings(servers: embedded.Servers) -> None:
    output.text(f"export DELIVERY_DATABASE_URL={shlex.quote(servers.database_url)}")
    output.text(f"export DELIVERY_KAFKA_BOOTSTRAP_SERVERS={shlex.quote(servers.bootstrap_servers)}")
    output.note("PostgreSQL and Kafka are running; Ctrl-C stops them")
