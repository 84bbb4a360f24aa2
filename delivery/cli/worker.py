"""`delivery worker`"""

from typing import Annotated

import typer

from delivery.cli import output
from delivery.worker import start
from delivery.worker.start import Ended


def worker(
    drain: Annotated[
        bool,
        typer.Option(
            "--drain",
            help="Stop at the end offsets that are seen at the start, and say what was done.",
        ),
    ] = False,
) -> None:
    """Consume records until SIGTERM or SIGINT.

    Then fetching stops, the batch in hand is finished and its offsets are
    committed. Run as many as the topic has partitions.

    \b
    Examples:
      delivery worker
      delivery worker --drain
    """
    ended = start.run(drain)
    if drain:
        output.text(_in_words(ended))


def _in_words(ended: Ended) -> str:
    totals = {outcome: count for outcome, count in ended.totals.items() if count}
    lost = totals.pop("lost_to_retention", 0)
    until = "until it was stopped" if ended.was_stopped else "to the topic's end"
    count = sum(totals.values())
    if not count and not ended.was_stopped:
        said = "nothing to read: the group has read the topic to its end"
    else:
        said = f"{_records(count)} read {until}"
    if totals:
        listed = ", ".join(f"{number:,} {_word(name)}" for name, number in totals.items())
        said += f": {listed}"
    if totals.get("rejected"):
        said += "; `delivery dead-letters list` shows the rejected ones"
    if lost:
        said += f"; {_records(lost)} had been deleted by retention before they were read"
    return said


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


def _word(outcome: str) -> str:
    return outcome.replace("_", " ")
