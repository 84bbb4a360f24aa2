"""The lines of a file. What a command makes of each is its own, but the file has to have lines."""

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import typer

from delivery.domain import signature

STDIN = "<stdin>"  # the name of the file that `-` is

# What gives the lines of such a file.
_CONVERTED = {
    "UTF-16": "iconv -f UTF-16 -t UTF-8",
    "UTF-32": "iconv -f UTF-32 -t UTF-8",
    "bzip2": "bzcat",
    "gzip": "zcat",
    "lz4": "lz4cat",
    "xz": "xzcat",
    "zip": "unzip -p",
    "zstd": "zstdcat",
}


@dataclass(frozen=True)
class Use:
    """What becomes of the lines, for the message that says how to get some."""

    command: str  # that reads them from standard input
    each: str  # what is done with each


PUBLISHED = Use("delivery publish -", "published as a record")


def lines(file: Iterable[bytes], name: str, use: Use = PUBLISHED) -> Iterator[bytes]:
    """The lines of the file, without a byte order mark before the first.

    Raises BadParameter where the file as a whole has to be converted first: it is compressed, in
    another encoding than UTF-8, or one JSON text over several lines or several events.
    """
    rest = iter(file)
    first = next(rest, b"").removeprefix(signature.BOM)
    _require_text(first, name, use)
    beginning = [first] if first else []
    while beginning and not beginning[-1].strip() and (line := next(rest, b"")):
        beginning.append(line)
    return chain(_require_lines(beginning, rest, name, use), rest)


def _require_text(first: bytes, name: str, use: Use) -> None:
    if (kind := signature.kind(first)) is None:
        return
    if (command := _CONVERTED.get(kind)) is None:
        raise _refusal(name, f"{kind} data, and each line is {use.each}")
    raise _to_convert(name, kind, command, use)


def _require_lines(
    beginning: list[bytes], rest: Iterator[bytes], name: str, use: Use
) -> list[bytes]:
    """The beginning with as many lines more as it takes to know what they are."""
    line = beginning[-1].strip() if beginning else b""
    if line in {b"{", b"[", b"[{"} or (line.startswith(b"[") and line.endswith(b",")):
        command = "jq -c ." if line == b"{" else "jq -c '.[]'"
        raise _to_convert(name, "one JSON text over several lines", command, use)
    if line.startswith(b"[") and _is_array_of_objects(line):
        while (following := next(rest, None)) is not None:
            beginning.append(following)
            if following.strip():  # an array in each line is somebody's own broken records
                return beginning
        raise _to_convert(name, "one JSON array", "jq -c '.[]'", use)
    return beginning


def _is_array_of_objects(line: bytes) -> bool:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return bool(document) and all(isinstance(event, dict) for event in document)


def _to_convert(name: str, what: str, command: str, use: Use) -> typer.BadParameter:
    argument = "" if name == STDIN else f" {shlex.quote(name)}"
    return _refusal(
        name, f"{what}, and each line is {use.each}: {command}{argument} | {use.command}"
    )


def _refusal(name: str, what: str) -> typer.BadParameter:
    subject = "standard input" if name == STDIN else name
    return typer.BadParameter(f"{subject} is {what}", param_hint="'FILE'")
