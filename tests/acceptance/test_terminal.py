"""Tables on a real terminal: they fit its width, and no id is cut or folded."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest
from rich.cells import cell_len
from test_commands import command, environment
from test_dead_letters import EVENT, add

from delivery.postgres.database import Connection

ERROR = "Input should be a valid dictionary or object to extract fields from, 문 앞에 놓아 " * 3

_STYLE = re.compile(r"\x1b\[\d*m")


def on_a_terminal(width: int, *arguments: str, database_url: str) -> list[str]:
    """What the command writes to a terminal that is so wide, by lines."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    clean = environment(database_url=database_url)
    clean = {name: value for name, value in clean.items() if name not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(
        command(*arguments), stdin=its, stdout=its, stderr=subprocess.PIPE, env=clean
    )
    os.close(its)
    told = b""
    try:
        while part := os.read(ours, 65536):
            told += part
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, b"")
    return _STYLE.sub("", told.decode()).splitlines()


@pytest.fixture(autouse=True)
def letters(connection: Connection) -> None:
    add(connection, 9_000_000_001, b"{", error=ERROR)
    add(connection, 9_000_000_002, EVENT % 5, "refused_by_database", error=ERROR, order_id=10**18)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 200, 310])
@pytest.mark.parametrize(
    "name", [("dead-letters", "list"), ("history",), ("dead-letters", "groups")]
)
def test_a_table_fits_the_terminal_and_ids_stay_whole(
    database_url: str, width: int, name: tuple[str, ...]
) -> None:
    lines = on_a_terminal(width, *name, database_url=database_url)
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    whole = ["not_json", "refused_by_database"]
    if name[-1] != "groups":
        whole += [str(10**18), "orders/3/9000000001", "orders/3/9000000002"]
    assert set(whole) <= set(words)
    if name[0] == "dead-letters":
        assert " ".join(words).count("dictionary") >= 2  # nothing is cut


def test_on_a_narrow_terminal_a_row_is_a_block_with_a_line_for_each_value(
    database_url: str,
) -> None:
    lines = on_a_terminal(60, "dead-letters", "list", database_url=database_url)
    assert lines[0].split() == ["id:", "1"]
    assert "record:            orders/3/9000000001" in [line.rstrip() for line in lines]
    assert "resolution:" not in " ".join(lines)  # of an open letter


def test_what_is_piped_is_complete_and_the_same_on_every_terminal(database_url: str) -> None:
    told = [
        subprocess.run(
            command("dead-letters", "list"),
            env=environment(database_url=database_url) | {"COLUMNS": columns},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for columns in ("40", "200")
    ]
    assert told[0] == told[1]
    _, first, _ = told[0].splitlines()
    assert ERROR.strip() in first
