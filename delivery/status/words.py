"""How long something has lasted, as people say it."""

from datetime import timedelta
from itertools import pairwise

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def age(length: timedelta) -> str:
    """The two largest units, such as `3 h 5 min`; of less than an hour the largest alone.

    Clocks differ, so that what lies in the future has the age 0.
    """
    seconds = max(0, int(length.total_seconds()))
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            more = f" {rest // part} {smaller}" if rest >= part and unit != "min" else ""
            return f"{whole} {unit}{more}"
    return f"{seconds} s"
