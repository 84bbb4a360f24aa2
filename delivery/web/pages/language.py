"""The language in which a visitor reads the pages: the one chosen on a page, or the browser's.

English is what the code says. The catalogues (gettext's .po, read by Babel) have it in other words:
`pages.po` what the templates say, `texts.po` what comes from elsewhere as a finished text, such as
an advice or an error. Of the latter some hold values: `{lag} records wait` is found by its words,
and the values are put into the translation. What no catalogue has stays as it is.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from babel.core import negotiate_locale
from babel.messages.pofile import read_po
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from delivery.web import prefix

COOKIE = "delivery_language"
ENGLISH = "en"
NAMES = {ENGLISH: "English", "ko": "한국어"}  # each in itself, as the switch shows it
CATALOGUES = Path(__file__).parent / "translations"

_A_YEAR_S = 365 * 86_400
_LONGEST_HEADER = 200  # characters of Accept-Language that are read
_ACCEPTED = re.compile(r"\s*([A-Za-z]{2,3})(?:-[\w-]*)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*")
_PLACE = re.compile(r"\\\{(\w+)\\\}")

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


class Catalogue(NamedTuple):
    """A language's texts by the English ones, and those that hold values."""

    texts: Mapping[str, str]
    patterns: list[tuple[re.Pattern[str], str]]


class VisitorsLanguage:
    """ASGI middleware that sets the language before anything is rendered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            chosen = request.cookies.get(COOKIE, "")
            _language.set(chosen if chosen in NAMES else _of_browser(request))
        await self.app(scope, receive, send)


def language() -> str:
    """The code of the language of the request at hand."""
    return _language.get()


def chosen(name: str, back: str) -> Response:
    """Leads back to the page with the language kept. Raises ValueError for one there is not."""
    if name not in NAMES:
        raise ValueError(f"Must be one of {', '.join(NAMES)}.")
    path = prefix.base() or "/"
    response = RedirectResponse(prefix.address(prefix.own_path(back)), 303)
    response.set_cookie(COOKIE, name, _A_YEAR_S, path=path, httponly=True, samesite="lax")
    return response


def gettext(text: str) -> str:
    """What a template says, in the visitor's language."""
    return catalogue(language()).texts.get(text, text)


def ngettext(singular: str, plural: str, number: int) -> str:
    """The same of a number. Only English tells one from many."""
    if language() == ENGLISH:
        return singular if number == 1 else plural
    return gettext(singular)


def told(text: Any) -> Any:
    """A finished text in the visitor's language; what is no text stays as it is."""
    return translated(catalogue(language()), text) if isinstance(text, str) else text


def word(name: str) -> str:
    """A name of the vocabulary or of a column, in words."""
    return str(told(name.replace("_", " ")))


def translated(found: Catalogue, text: str) -> str:
    """The text in the words of a catalogue; as it is where that has none for it."""
    bare = f"{text[:1].lower()}{text[1:]}".removesuffix(".")  # some are made a sentence before
    if (other := _found(found, text)) is not None:
        return other
    other = _found(found, bare) if text.endswith(".") else None
    return text if other is None else f"{other}."


def _found(found: Catalogue, text: str) -> str | None:
    if text in found.texts:
        return found.texts[text]
    for pattern, translation in found.patterns:
        if match := pattern.fullmatch(text):
            values = {name: translated(found, value) for name, value in match.groupdict().items()}
            return translation.format(**values)
    return None


@cache
def catalogue(name: str) -> Catalogue:
    """The texts of a language; none of English."""
    texts = {
        str(message.id[0] if isinstance(message.id, tuple) else message.id): str(
            message.string[0] if isinstance(message.string, tuple) else message.string
        )
        for path in sorted((CATALOGUES / name).glob("*.po"))
        for message in read_po(BytesIO(path.read_bytes()), locale=name)
        if message.id and message.string
    }
    templates = [text for text in texts if re.search(r"\{\w+\}", text)]
    templates.sort(key=lambda text: len(_PLACE.sub("", re.escape(text))), reverse=True)  # words
    return Catalogue(texts, [(_pattern(text), texts[text]) for text in templates])


def _pattern(template: str) -> re.Pattern[str]:
    """A place takes any text; one whose name begins with n, a number."""
    return re.compile(_PLACE.sub(_place, re.escape(template)), re.DOTALL)


def _place(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>{'[0-9][0-9,.]*' if found[1] in {'n', 'n2'} else '.+?'})"


def _of_browser(request: Request) -> str:
    header = request.headers.get("accept-language", "")[:_LONGEST_HEADER]
    accepted = [found for part in header.split(",") if (found := _ACCEPTED.fullmatch(part))]
    accepted.sort(key=lambda found: float(found[2] or 1), reverse=True)
    wanted = [found[1].lower() for found in accepted if float(found[2] or 1)]
    return negotiate_locale(wanted, list(NAMES)) or ENGLISH


# Read at import: the first visitor does not wait for it.
for _name in NAMES:
    catalogue(_name)
