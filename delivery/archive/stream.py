"""A month goes to stdout, for a store that is no folder. What was stored only its reader can say.

So nothing leaves the log until somebody names the SHA-256 of what they stored.
"""

from collections.abc import Callable
from typing import IO

from pydantic import SecretStr

from delivery.archive import compressed, take
from delivery.archive.manifest import Content
from delivery.archive.take import Archived, Say
from delivery.domain.month import Month
from delivery.errors import RaceError
from delivery.postgres import database


def write(url: SecretStr, month: Month, to: IO[bytes]) -> Content:
    """Writes the month's file, byte for byte the one that a folder would get. Removes nothing."""
    with database.snapshot(url, take.APPLICATION) as connection:
        content = take.read(connection, month, lambda text: compressed.write(to, text))
    to.flush()
    return content


def confirm(url: SecretStr, month: Month, sha256: str, nowhere: IO[bytes], say: Say) -> Archived:
    """Takes the month out of the log if its file has that SHA-256. It is written again, to nowhere.

    Raises RaceError where the log holds something else than was stored, and what `take.take` does.
    """
    content = write(url, month, nowhere)
    if content.written.file.sha256 != sha256.lower():
        raise RaceError(
            f"{month} is not what was stored: its file has SHA-256 {content.written.file.sha256} "
            "now. Nothing is removed: write it again"
        )
    part = take.remove(url, content, _as_it_is, say)
    return Archived(month, part, content.fingerprint.rows, None)


def _as_it_is(part: int, _manifest: Callable[[int], str]) -> int:
    return part
