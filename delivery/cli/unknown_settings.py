"""Warns of variables that look like a setting and are none, before a command begins."""

from delivery import settings
from delivery.cli import output

# Their stderr is a log, which programs may read.
LOGGING = {"announce", "serve", "worker"}

# It says the same itself, in its result.
SAYING_IT = {"check"}


def warn(command: str) -> None:
    """One line on stderr for each. A setting's own error follows, if there is one."""
    if command in SAYING_IT:
        return
    for complaint in settings.unknown_ones():
        if command in LOGGING:
            from delivery import log  # imported here, for other commands to start without it

            log.warn_early(complaint)
        else:
            output.note(f"delivery: warning: {complaint}")
