"""A record's contents as text. Pure."""

import codecs
import re

# Control characters other than tabs and line ends.
_CONTROL = re.compile(r"(?!\t|\r?\n)[\x00-\x1f\x7f-\x9f]")


def readable(
    content: bytes | None, *, is_cut: bool = False, marks_controls: bool = False
) -> str | None:
    """Text where the content is text that can be shown, hexadecimal with 0x otherwise.

    Text that begins with 0x is given in hexadecimal too: one form is never taken for the other.
    A terminal obeys control characters, so that they make it no text, unless whoever shows it
    `marks_controls`; a NUL always does. Where the content `is_cut`, a character that is cut with it
    is left out.
    """
    if content is None:
        return None
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=not is_cut)
    except UnicodeDecodeError:
        return f"0x{content.hex()}"
    is_text = "\0" not in text if marks_controls else not _CONTROL.search(text)
    return text if is_text and not text.startswith("0x") else f"0x{content.hex()}"
