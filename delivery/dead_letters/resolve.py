"""What people do about dead letters: replay them, discard them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from pydantic import SecretStr

from delivery.announce import outbox
from delivery.dead_letters import queries
from delivery.dead_letters.letter import LetterStatus
from delivery.domain.event import Contract
from delivery.inbox.dead_letters import Resolver
from delivery.inbox.transaction import process
from delivery.postgres import database
from delivery.postgres.database import Connection, transaction

# A transaction of ours may last so long. Resolving a portion takes far less.
MAX_TRANSACTION_AGE = timedelta(seconds=45)

# One transaction replays as many letters at most, and fewer where their records are large.
PORTION_LETTERS = 500
PORTION_BYTES = 8 * 1024 * 1024

_LENGTHS = """
SELECT dead_letter_id, coalesce(octet_length(record_value), 0)
FROM dead_letters WHERE dead_letter_id = ANY(%s) ORDER BY dead_letter_id
"""

_DISCARD = """
UPDATE dead_letters
SET resolved_at = now(), resolution = 'discarded', resolved_by = %s, resolution_note = %s
WHERE dead_letter_id = ANY(%s) AND resolved_at IS NULL
"""


@contextmanager
def connected(url: SecretStr) -> Iterator[Connection]:
    """A session with a worker's timeouts: this process too may freeze inside a transaction.

    Raises UnavailableError, SettingsError or NotMigratedError.
    """
    session = database.Session(url, MAX_TRANSACTION_AGE)
    try:
        database.require_migrated(session.connection())
        yield session.connection()
    finally:
        session.drop()


def replay(
    connection: Connection, contract: Contract, ids: Sequence[int], by: Resolver
) -> Iterator[list[LetterStatus]]:
    """Processes the records of open letters again, as the worker would, in portions.

    Yields the status of each portion's letters after its commit. A letter that is rejected again
    stays open, with its new error. A resolved one stays as it is. A delivery that this creates is
    announced if those of the workers are.
    """
    for portion in _portions(connection, ids):
        _process(connection, contract, portion, by)
        yield _status(connection, portion)


def discard(connection: Connection, ids: Sequence[int], by: Resolver) -> list[LetterStatus]:
    """Marks open letters as never to be processed, and returns the status of all that exist.

    Resolved ones stay as they are.
    """
    with transaction(connection):
        connection.execute(_DISCARD, (*by, list(ids)))
    return _status(connection, ids)


def _process(connection: Connection, contract: Contract, ids: Sequence[int], by: Resolver) -> None:
    with transaction(connection):
        letters = queries.find(connection, ids)
    records = [letter.record for letter in letters if letter.resolution is None]
    if records:
        # Within one transaction the log is in the order of the records' coordinates.
        in_order = sorted(records, key=lambda record: record.coordinates)
        process(connection, contract, in_order, outbox.as_switched(connection), by)


def _portions(connection: Connection, ids: Sequence[int]) -> Iterator[list[int]]:
    """The ids that exist, the oldest first, in portions whose records fit into memory."""
    with transaction(connection):
        lengths = connection.execute(_LENGTHS, (list(ids),)).fetchall()
    portion: list[int] = []
    size = 0
    for letter_id, length in lengths:
        if portion and (len(portion) == PORTION_LETTERS or size + length > PORTION_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(letter_id)
        size += length
    if portion:
        yield portion


def _status(connection: Connection, ids: Sequence[int]) -> list[LetterStatus]:
    """What became of these letters, as committed by now."""
    with transaction(connection):
        return queries.status(connection, ids)
