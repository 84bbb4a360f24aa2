"""Characters that people can't see, or that a terminal obeys, made visible. Pure."""

import re

# Control characters but tab and line ends; soft hyphen and fillers; marks that turn the direction
# of writing; characters without width; line separators; variation selectors, but the one that emoji
# have; tags; noncharacters and surrogates.
INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "]"
    "|\r(?!\n)"
    # The two joiners, but where scripts and emoji need them.
    "|(?<![\u0600-\u0dff\u0f00-\u109f\u1780-\u18af\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])"
    "[\u200c\u200d]"
)


def escaped(text: str) -> str:
    """The text with an escape such as \\ufeff for each invisible character.

    Tabs and line ends stay as they are.
    """
    return INVISIBLE.sub(_escape, text)


def escaped_line(text: str) -> str:
    """The same on one line: tabs and line ends are escaped too."""
    return escaped(text).replace("\t", "\\t").replace("\r\n", "\\r\\n").replace("\n", "\\n")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
