"""A line on the terminal that says how far a command is, below what it writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from delivery.cli import output


@contextmanager
def shown(progress: Callable[[], str]) -> Iterator[Callable[[str], None]]:
    """What writes a line on stdout. Where stderr is a terminal, `progress` stands below."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield output.text
        return
    with Live(
        get_renderable=lambda: Text(progress()),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:

        def write(text: str) -> None:
            live.stop()  # leaves the terminal to the line
            output.text(text)
            live.start()

        yield write
