"""Untrusted text for a page: escaped, isolated, its invisible characters made visible. Pure."""

import re
import unicodedata

from markupsafe import Markup, escape

from delivery.invisible import INVISIBLE


def untrusted(text: object) -> Markup:
    """The text as markup that runs nothing and does not turn its neighbours' direction.

    Each invisible character becomes its code point, with its name where it has one.
    """
    text = INVISIBLE.sub(_code_point, str(escape(text)))
    return Markup(f"<bdi>{text}</bdi>")  # noqa: S704 (escaped above)


def _code_point(found: re.Match[str]) -> str:
    character = found[0]
    name = unicodedata.name(character, "control character").lower()
    return f'<span class="invisible" title="{name}">U+{ord(character):04X}</span>'
