"""What makes a commit less durable than the guarantee needs."""

from delivery.postgres.database import Connection, transaction

_SETTINGS = """
SELECT current_setting('fsync'), current_setting('full_page_writes'),
       current_setting('synchronous_commit'), current_setting('synchronous_standby_names')
"""


def doubts(connection: Connection) -> list[str]:
    """A line for each setting of the server by which a crash may lose what is committed.

    Kafka's offsets are behind these records by then. `delivery verify` names them afterwards.
    """
    with transaction(connection):
        ((fsync, full_page_writes, commit, standbys),) = connection.execute(_SETTINGS)
    found = {
        "fsync=off: a crash of its host may lose committed rows": fsync == "off",
        "full_page_writes=off: a crash of its host may damage pages": full_page_writes == "off",
        "synchronous_commit=local: a standby that takes over may lack committed rows": (
            commit == "local" and standbys
        ),
    }
    return [f"PostgreSQL has {doubt}" for doubt, holds in found.items() if holds]
