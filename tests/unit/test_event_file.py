"""Files of events: lines go as they are, and what has no lines is named and not sent."""

import bz2
import gzip
import io
import json

import pytest
import typer

from delivery.cli import event_file

EVENT = '{"event": {"orderId": 1}, "createdAt": [2026,1,1,0,1]}'
LINES = f"{EVENT}\n{EVENT}\n".encode()


def read(content: bytes, name: str = "orders.jsonl") -> bytes:
    """What is published of a file, in one piece."""
    return b"".join(event_file.lines(io.BytesIO(content), name))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        LINES,
        b"\n \n" + LINES,
        b"no JSON\n" + LINES,
        b'["com.example.Event", {}]\n' + LINES,
        b'[{"a": 1}]\n[{"a": 2}]\n',
        b"[]\n",
        b"[1, 2]\n",
        b'{"event":\n',
        b"\xff{\n",
        b"[" * 100_000,
    ],
)
def test_lines_are_as_they_are_whatever_they_hold(content: bytes) -> None:
    assert read(content) == content


@pytest.mark.parametrize("content", [b"", b"\n", LINES])
def test_a_byte_order_mark_before_the_first_line_is_left_out(content: bytes) -> None:
    assert read(b"\xef\xbb\xbf" + content) == content
    assert read(LINES + b"\xef\xbb\xbf" + LINES) == LINES + b"\xef\xbb\xbf" + LINES


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (LINES.decode().encode("utf-16"), "UTF-16, .*: iconv -f UTF-16 -t UTF-8 orders.jsonl |"),
        (LINES.decode().encode("utf-16-le"), "UTF-16"),
        (LINES.decode().encode("utf-16-be"), "UTF-16"),
        (LINES.decode().encode("utf-32"), "UTF-32"),
        (gzip.compress(LINES, mtime=0), r"gzip, .*: zcat orders.jsonl \| delivery publish -"),
        (bz2.compress(LINES), "bzip2, .*: bzcat orders.jsonl"),
        (b"PAR1\x15\x04", "Parquet data"),
        (f"[{EVENT}]".encode(), "one JSON array, .*: jq -c '.\\[\\]' orders.jsonl"),
        (f"\n[{EVENT}, {EVENT}]\n\n".encode(), "one JSON array"),
        (f"\ufeff[{EVENT}, {EVENT}]".encode(), "one JSON array"),
        (f"[{EVENT},\n{EVENT}]\n".encode(), "several lines, .*: jq -c '.\\[\\]'"),
        (json.dumps([json.loads(EVENT)], indent=2).encode(), "several lines"),
        (json.dumps(json.loads(EVENT), indent=2).encode(), "several lines, .*: jq -c . orders"),
        (b"[{\n", "several lines"),
    ],
)
def test_what_has_no_lines_is_named_with_what_gives_them(content: bytes, refusal: str) -> None:
    with pytest.raises(typer.BadParameter, match=rf"orders.jsonl is .*{refusal}"):
        read(content)


def test_standard_input_is_named_as_such() -> None:
    with pytest.raises(typer.BadParameter, match=r"standard input is gzip, .*: zcat \| delivery"):
        read(gzip.compress(LINES), "<stdin>")


def test_a_name_can_be_pasted_into_a_shell() -> None:
    with pytest.raises(typer.BadParameter, match=r"zcat '/tmp/my orders' \|"):
        read(gzip.compress(LINES), "/tmp/my orders")
