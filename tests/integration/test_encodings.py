"""Outputs on terminals that are not UTF-8, arguments that are no text, characters nobody sees."""

import io
import json
import os
import sys
from collections.abc import Callable

import pytest

from delivery import cli
from delivery.postgres.database import Connection

HIDDEN = "\ufeff문\u200b 앞 \u202e4711\u00e9"


LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_key, record_value,
                          record_headers, reason, error)
VALUES ('orders', 3, 1, %s, %s, %s, 'not_json', %s)
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on a terminal with this encoding: its exit code, stdout and stderr.

    The database has a letter whose texts no encoding but Unicode's has, and no eye sees.
    """
    headers = json.dumps([{"key": "\u200bkey", "value": HIDDEN}])
    connection.execute(LETTER, (HIDDEN.encode(), HIDDEN.encode(), headers, HIDDEN))
    monkeypatch.setenv("DELIVERY_DATABASE_URL", database_url)

    def run(encoding: str, *arguments: str | bytes) -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors) for errors in STREAMS]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        monkeypatch.setattr(sys, "argv", ["delivery", *map(os.fsdecode, arguments)])
        code = cli.run()
        stdout, stderr = (stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
        assert b"a bug" not in stderr
        return code, stdout.decode(streams[0].encoding), stderr.decode(encoding)

    return run


STREAMS = ("strict", "backslashreplace")  # how Python opens stdout and stderr


COMMANDS = (
    ("dead-letters", "show", "1"),
    ("dead-letters", "list"),
    ("dead-letters", "replay", "1"),
    ("history",),
    ("stats",),
    ("verify", "--database-only"),
    ("--help",),
    ("publish", "--help"),
)


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "latin-1", "ascii", "cp437"])
def test_each_command_writes_what_the_encoding_has_and_escapes_for_the_rest(
    run: Run, encoding: str
) -> None:
    for arguments in COMMANDS:
        code, _, _ = run(encoding, *arguments)
        assert code == (1 if "replay" in arguments else 0)
    _, shown, _ = run(encoding, "dead-letters", "show", "1")
    for character in HIDDEN:
        is_known = character in "문앞é" and character.encode(encoding, "ignore")
        escape = character.encode("unicode_escape").decode()
        assert (character if is_known or character.isascii() else escape) in shown


def test_invisible_characters_are_visible_in_tables_and_lines(run: Run) -> None:
    for arguments in (("list",), ("show", "1")):
        _, shown, _ = run("utf-8", "dead-letters", *arguments)
        assert not {"\ufeff", "\u200b", "\u202e"} & set(shown)
        assert "\\ufeff문\\u200b 앞 \\u202e4711é" in shown


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "ascii"])
def test_programs_read_utf_8_whatever_the_terminal_has(run: Run, encoding: str) -> None:
    for arguments in (["dead-letters", "show", "1"], ["dead-letters", "list"], ["history"]):
        code, stdout, _ = run(encoding, *arguments, "--format", "json")
        assert code == 0
        assert json.loads(stdout)["error"] == HIDDEN


@pytest.mark.parametrize(
    "arguments",
    [
        ["dead-letters", "discard", "1", "--note", b"\xff\xfe"],
        ["dead-letters", "list", "--reason", b"\xff"],
        ["history", b"\xff"],
        ["history", "--record", b"\xff/0/1"],
        ["history", "--since", b"\xff"],
        ["migrate", "--reader-role", b"\xff"],
        ["serve", "--host", b"\xff"],
        ["publish", b"/\xff"],
        [b"\xff\x1b[2J"],
    ],
    ids=lambda arguments: b" ".join(map(os.fsencode, arguments)).hex(),
)
def test_an_argument_that_is_no_text_is_one_line_and_a_usage_error(
    run: Run, arguments: list[str | bytes]
) -> None:
    code, stdout, stderr = run("utf-8", *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("delivery: ")
    assert stderr.count("\n") == 1
    assert "\x1b" not in stderr
