"""A line on the terminal that says how far a command is, below what it writes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

from delivery.cli import output

Item = TypeVar("Item")


@contextmanager
def shown(progress: Callable[[], str]) -> Iterator[Callable[[str], None]]:
    """What writes a line on stdout. Where stderr is a terminal, `progress` stands below."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield output.text
        return
    with _live(console, progress) as live:

        def write(text: str) -> None:
            live.stop()  # leaves the terminal to the line
            output.text(text)
            live.start()

        yield write


def below(items: Iterable[Item], progress: Callable[[], str]) -> Iterator[Item]:
    """The items. Where stderr is a terminal, `progress` stands below what is written of them."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    with _live(console, progress) as live:
        for item in items:
            live.stop()  # leaves the terminal to whoever writes the item
            yield item
            live.start()


def _live(console: Console, progress: Callable[[], str]) -> Live:
    return Live(
        get_renderable=lambda: Text(progress()),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
