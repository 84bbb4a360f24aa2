"""Numbers and times as people read them. Pure but for the clock, and the visitor's zone."""

from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from delivery.local_time import zones
from delivery.status.words import age
from delivery.web.pages import display, language

_EXACT, _OF_ARRIVAL = 6, 3  # digits of a second
_TIMESPECS = {0: "seconds", _OF_ARRIVAL: "milliseconds", _EXACT: "microseconds"}

_DAY, _HOUR, _MINUTE = 86_400, 3600, 60


def number(value: int) -> str:
    """With commas between thousands."""
    return f"{value:,}"


def size(count: int) -> str:
    """A number of bytes, in the unit that leaves few digits."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def format_time(time: datetime, digits: int = _EXACT) -> Markup:
    """A `<time>` in the visitor's zone with so many digits of a second; its attributes have all of
    them, in UTC. Of an arrival, which has three, the age stands beside it.

    Six digits are left out where they are zeros.
    """
    utc = time.astimezone(UTC).replace(tzinfo=None)
    timespec = _TIMESPECS[digits if digits != _EXACT or utc.microsecond else 0]
    text = zones.text(time, display.zone(), timespec)
    whole = f"{utc.isoformat()}Z"
    shown = Markup('<time datetime="{}" title="{}">{}</time>').format(whole, whole, text)
    if digits != _OF_ARRIVAL:
        return shown
    # In one element: a phone's cell has two columns.
    ago = language.told(f"{age(datetime.now(UTC) - time)} ago")
    return Markup('<span>{} <span class="age">{}</span></span>').format(shown, ago)


def distance(span: timedelta) -> str:
    """The length of a span in its two largest units, without its sign."""
    span = abs(span)
    seconds = int(span.total_seconds())
    if seconds >= _DAY:
        return f"{number(seconds // _DAY)} d {seconds % _DAY // _HOUR} h"
    if seconds >= _HOUR:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    if seconds >= _MINUTE:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE} s"
    if seconds:
        return f"{span.total_seconds():.1f} s"
    return f"{span // timedelta(milliseconds=1)} ms"


def about(value: int) -> str:
    """An estimate: its first two digits, and zeros."""
    return f"about {number(int(float(f'{value:.2g}')))}"


def sentence(text: str) -> str:
    """With a capital at its beginning and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
