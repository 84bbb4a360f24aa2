"""What people do about dead letters: replay them, discard them."""

from collections.abc import Iterator, Sequence

from delivery.dead_letters import queries
from delivery.dead_letters.queries import LetterStatus
from delivery.domain.event import Contract
from delivery.inbox.transaction import process
from delivery.postgres.database import Connection, transaction

# One transaction replays as many letters, or fewer where their records are large.
REPLAYED_AT_ONCE = 500
BYTES_AT_ONCE = 8 * 1024 * 1024

_LENGTHS = """
SELECT dead_letter_id, coalesce(octet_length(record_value), 0)
FROM dead_letters WHERE dead_letter_id = ANY(%s) ORDER BY dead_letter_id
"""

_DISCARD = """
UPDATE dead_letters SET resolved_at = now(), resolution = 'discarded', resolution_note = %s
WHERE dead_letter_id = ANY(%s) AND resolved_at IS NULL
"""


def replay(
    connection: Connection, contract: Contract, ids: Sequence[int]
) -> Iterator[list[LetterStatus]]:
    """Processes the records of open letters again, as the worker would, some hundred at a time.

    Yields how the letters stand afterwards; what was yielded is committed. One that is rejected
    again stays open, with its new error. One that is resolved already stays as it is.
    """
    for portion in _portions(connection, ids):
        _process(connection, contract, portion)
        yield queries.status(connection, portion)


def discard(connection: Connection, ids: Sequence[int], note: str) -> None:
    """Marks open letters as not to be processed, ever. Resolved ones stay as they are."""
    with transaction(connection):
        connection.execute(_DISCARD, (note, list(ids)))


def _process(connection: Connection, contract: Contract, ids: Sequence[int]) -> None:
    letters = [letter for letter in queries.find(connection, ids) if letter.resolution is None]
    # The order of the log within one transaction is that of the records' places.
    records = sorted((letter.record for letter in letters), key=lambda record: record.place)
    if records:
        process(connection, contract, records)


def _portions(connection: Connection, ids: Sequence[int]) -> Iterator[list[int]]:
    """The ids that exist, the oldest first, in portions whose records fit into memory."""
    with transaction(connection):
        lengths = connection.execute(_LENGTHS, (list(ids),)).fetchall()
    portion: list[int] = []
    size = 0
    for letter_id, length in lengths:
        if portion and (len(portion) == REPLAYED_AT_ONCE or size + length > BYTES_AT_ONCE):
            yield portion
            portion, size = [], 0
        portion.append(letter_id)
        size += length
    if portion:
        yield portion
