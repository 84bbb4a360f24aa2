"""JSON as text: split into tokens and indented, but not parsed: nothing in it changes. Pure.

A payload is shown as it was sent: its keys in their order, also where one stands twice, and its
numbers with all their digits. Nothing recurses, so that no depth of nesting is too deep.
"""

import re
from collections.abc import Iterable, Iterator

# A string, a mark, or a number or word. Spaces between them are skipped. A string that was cut goes
# on to the end, so that nothing in it is taken for a mark.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)

_OPENING, _CLOSING = frozenset("{["), frozenset("}]")
MARKS = _OPENING | _CLOSING | frozenset(":,")

# An array of numbers, spread over lines: a time of Jackson's is one.
_NUMBERS = re.compile(r"\[\n *([-+.\deE]+(?:,\n *[-+.\deE]+)*)\n *\]")

# A level deeper than this is indented no further: the page would be all spaces.
_DEEPEST = 20
_INDENT = "  "


def tokens(text: str) -> Iterator[str]:
    """The strings with quotes, marks, numbers and words of a JSON text, or of its beginning."""
    return (found[0] for found in _TOKEN.finditer(text))


def indented(parts: Iterable[str], limit: int) -> tuple[str, bool]:
    """The tokens as people read them, a member to a line; and whether the text was cut.

    An array of numbers only is on one line. The text has at most `limit` characters, and no more
    tokens are taken than it needs.
    """
    text, is_cut = _indented(parts, limit)
    return _NUMBERS.sub(_on_one_line, text), is_cut


def _on_one_line(array: re.Match[str]) -> str:
    return f"[{' '.join(array[1].split())}]"


def _indented(parts: Iterable[str], limit: int) -> tuple[str, bool]:
    pieces: list[str] = []
    length = 0
    for piece in _spaced(parts):
        pieces.append(piece[: limit - length])
        length += len(piece)
        if length > limit:
            return "".join(pieces), True
    return "".join(pieces), False


def _spaced(parts: Iterable[str]) -> Iterator[str]:
    """The tokens, with spaces and line ends between them."""
    depth = 0
    before = ""
    for part in parts:
        if part in _CLOSING:
            depth -= 1
            yield part if before in _OPENING else _line(depth) + part
        else:
            yield _line(depth) + part if before in _OPENING else part
        if part in _OPENING:
            depth += 1
        elif part == ",":
            yield _line(depth)
        elif part == ":":
            yield " "
        before = part


def _line(depth: int) -> str:
    return "\n" + _INDENT * min(depth, _DEEPEST)
