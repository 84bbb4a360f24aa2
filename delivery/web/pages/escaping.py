"""Untrusted text for a page: escaped, isolated, its invisible characters made visible. Pure."""

import re
import unicodedata

from markupsafe import Markup, escape

# Control characters but tab and line end; marks that turn the direction of writing; characters
# without width, but the two joiners that scripts and emoji need; line separators; tags; surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def untrusted(text: object) -> Markup:
    """The text as markup that runs nothing and does not turn its neighbours' direction.

    Each invisible character becomes its code point, with its name where it has one.
    """
    text = _INVISIBLE.sub(_code_point, str(escape(text)))
    return Markup(f"<bdi>{text}</bdi>")  # noqa: S704 (escaped above)


def _code_point(found: re.Match[str]) -> str:
    character = found[0]
    name = unicodedata.name(character, "control character").lower()
    return f'<span class="invisible" title="{name}">U+{ord(character):04X}</span>'
