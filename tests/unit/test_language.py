"""The pages' languages: no text is missing, and each says what the English one says."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from delivery.dead_letters.advice import ADVICE, advice
from delivery.dead_letters.letter import STATES
from delivery.domain.event import DELIVERY_COLUMNS
from delivery.domain.vocabulary import ACTIONS, OUTCOMES, REASONS, RESOLUTIONS, STATUSES
from delivery.history import parse
from delivery.history.announcements import Announcement
from delivery.status.words import age
from delivery.web import app, lag, searching
from delivery.web.acting import actions
from delivery.web.pages import changes, error_pages, formatting, forms, language, liveness, overview

LANGUAGES = [name for name in language.NAMES if name != language.ENGLISH]
TEMPLATES = Path(language.__file__).parent / "templates"
OPTIONS = {"trimmed": "true", "newstyle_gettext": "true"}


def extracted() -> Iterator[str]:
    """What the templates say. Of a number the singular, which is the key of both."""
    found = extract_from_dir(
        str(TEMPLATES), method_map=[("**.html", "jinja2")], options_map={"**.html": OPTIONS}
    )
    for _, _, message, _, _ in found:
        yield message[0] if isinstance(message, tuple) else message


# Read here: a test of this folder opens no file.
SAID = set(extracted())
WORDS = {name: language.catalogue(name) for name in LANGUAGES}
CATALOGUES = {
    (name, kind): list(
        read_po(BytesIO((language.CATALOGUES / name / f"{kind}.po").read_bytes()), name)
    )[1:]
    for name in LANGUAGES
    for kind in ("pages", "texts")
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_catalogue_has_what_the_templates_say_and_nothing_else(name: str) -> None:
    catalogue = CATALOGUES[name, "pages"]
    keys = {message.id[0] if message.pluralizable else message.id for message in catalogue}
    assert keys == SAID
    assert all(message.string for message in catalogue)
    assert not [message for message in catalogue if message.fuzzy]


@pytest.mark.parametrize(("name", "kind"), CATALOGUES)
def test_a_translation_has_the_same_places_and_the_same_markup(name: str, kind: str) -> None:
    for message in CATALOGUES[name, kind]:
        english, other = message.id, message.string
        if message.pluralizable:
            english, other = english[1], other[0]
        assert marks(str(english)) == marks(str(other)), english


def marks(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s|\{\w+\}|<[^>]+>|`[^`]+`|DELIVERY_[A-Z_]+[A-Z]", text))


def texts() -> Iterator[str]:
    """What the pages show that comes from elsewhere."""
    yield from (name.replace("_", " ") for name in (*OUTCOMES, *REASONS, *RESOLUTIONS, *STATES))
    yield from (name.replace("_", " ") for name in (*STATUSES, *ACTIONS, *DELIVERY_COLUMNS))
    yield from ("created at", "updated at", "running", "done", "failed", "interrupted")
    yield from overview.SPANS
    yield from (span.step for span in overview.SPANS.values())
    yield from liveness.COLOURS
    yield from changes.WHY_NOTHING.values()
    yield from ADVICE.values()
    yield from error_pages.DETAILS.values()
    yield from (app.DETAILS[status] for status in app.FOR_PEOPLE_TOO)
    yield from (app.TOO_LONG, searching.NOT_BOTH, "text")
    yield from (lag.NO_KAFKA, actions.INTERRUPTED)
    yield from (str(Announcement(status)) for status in ("waiting", "not_announced"))
    for value in (b"<order/>", b"\x1f\x8b\x08", "\ufeff{}".encode(), b"eyJhIjoxfQ==", b"{'a': 1}",
                  b'{"event": {', b"{} {}", b"[{}]", '"주문"'.encode("cp949"), b"Order(id=1)",
                  b'{"specversion": 1}', b'{"op": 1, "after": 2}', b"a.b=1&c=2",
                  b'{"orderId": 1}', b'{"schema": 1, "payload": 2}', b"PAR1", b"Obj\x01",
                  b"\x00\x00\x00\x00\x01{", b"\x00\x00\x00\x00\x01\x02", b'"{}"',
                  b'{"event": {"orderId": "7"}, "createdAt": 1763900000}'):  # fmt: skip
        yield advice("not_json", value)
    for seconds in (5, 300, 20_000, 400_000):
        yield f"{age(timedelta(seconds=seconds))} ago"
        yield f"arrived {formatting.distance(timedelta(seconds=seconds))} later"
    yield formatting.about(12_345)
    yield formatting.size(7)


@pytest.mark.parametrize("text", list(texts()))
@pytest.mark.parametrize("name", LANGUAGES)
def test_a_text_from_elsewhere_is_found(name: str, text: str) -> None:
    assert is_translated(name, text)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (forms.number, "x"),
        (forms.plain, "\0"),
        (lambda text: forms.outcomes([text]), "x"),
        (forms.one_of(REASONS), "x"),
        (searching.of_event(may_be_personal=True), "it's"),
        (searching.of_event(may_be_personal=False), "kim@example.com"),
        (searching.of_personal(forms.plain, may_be_personal=False), "Kim"),
        (forms.customer, "Kim"),
        (parse.time, "soon"),
        (parse.coordinates, "x"),
        (parse.position, "x"),
        (lambda text: parse.time(text, ZoneInfo("Europe/Berlin")), "2026-03-29 02:30"),
        (lambda text: parse.time(text, ZoneInfo("Europe/Berlin")), "2026-10-25 02:30"),
        (parse.time, "10:00 IST"),
        (language.chosen, "fr"),
    ],
)
@pytest.mark.parametrize("name", LANGUAGES)
def test_what_is_wrong_in_a_form_is_found(
    name: str, read: Callable[..., object], text: str
) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the text is looked at below)
        read(text, "/") if read is language.chosen else read(text)
    assert is_translated(name, str(raised.value))
    assert is_translated(name, formatting.sentence(str(raised.value)))


def is_translated(name: str, text: str) -> bool:
    """Whether the translation has other words; names and values stay as they are."""
    found = language.translated(WORDS[name], text)
    return found != text and bool(re.search("[가-힣]", found))


def test_english_is_what_the_code_says() -> None:
    assert language.told("3 h ago") == "3 h ago"
    assert language.catalogue(language.ENGLISH).texts == {}
    assert language.ngettext("a letter", "letters", 1) == "a letter"
    assert language.ngettext("a letter", "letters", 2) == "letters"


def test_a_value_is_not_taken_for_a_text() -> None:
    korean = WORDS["ko"]
    assert language.translated(korean, "arrived 3 h later") == "3시간 뒤에 도착"
    assert language.translated(korean, "x h") == "x h"
    long_ago = f"{age(datetime(9999, 1, 1, tzinfo=UTC) - datetime(1, 1, 1, tzinfo=UTC))} ago"
    assert language.translated(korean, long_ago).endswith(" 전")
