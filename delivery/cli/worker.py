"""`delivery worker`"""

from typing import Annotated

import typer

from delivery.worker import start


def worker(
    drain: Annotated[
        bool, typer.Option("--drain", help="Stop at the end offsets that are seen at the start.")
    ] = False,
) -> None:
    """Consume records until SIGTERM or SIGINT.

    Then fetching stops, the batch in hand is finished and its offsets are committed. Run as many
    as the topic has partitions.
    """
    start.run(drain)
