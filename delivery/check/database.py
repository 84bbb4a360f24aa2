"""What the database says: its encoding, clock, schema, rights, durability, and the events' zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from delivery.check import rights, zone
from delivery.check.line import Line, failed, of_error, ok, warning
from delivery.errors import ForbiddenError, NotMigratedError, SettingsError, UnavailableError
from delivery.postgres import database, durability, session
from delivery.postgres.database import Connection
from delivery.settings import WorkerSettings

LIMITS = session.of_reader(timedelta(seconds=10))

# Ages on the pages and in `status` are wrong by as much as the clocks differ.
CLOCKS_DIFFER = timedelta(seconds=2)

_WRITABLE = """
SELECT pg_is_in_recovery(),
       (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only')
"""


def lines(url: SecretStr, worker: WorkerSettings | None, is_announcing: bool) -> Iterator[Line]:
    """Each as soon as it is known."""
    try:
        connection = database.connect(url, "delivery check", LIMITS, read_only=True)
    except (SettingsError, UnavailableError, ForbiddenError) as error:
        check = "encoding" if "encoding" in str(error) else "database"
        yield of_error(check, error, "see that PostgreSQL runs, and what DELIVERY_DATABASE_URL is")
        return
    with connection:
        try:
            yield from _of_server(connection)
            yield from _of_schema(connection, worker, is_announcing)
        except (UnavailableError, ForbiddenError) as error:
            yield of_error("database", error, "check again once that is mended")


def _of_server(connection: Connection) -> Iterator[Line]:
    info = connection.info
    version = info.parameter_status("server_version")
    yield ok("database", f"PostgreSQL {version}, database {info.dbname}, role {info.user}")
    yield ok("encoding", "UTF8")  # a connection is refused otherwise
    yield _clock(connection)
    yield _writable(connection)
    for doubt in durability.doubts(connection):
        yield warning("durability", doubt, "set it to on, unless its data may be lost")


def _clock(connection: Connection) -> Line:
    before = datetime.now(UTC)
    with database.transaction(connection):
        ((theirs,),) = connection.execute("SELECT clock_timestamp()")
    after = datetime.now(UTC)
    differs = max(before - theirs, theirs - after, timedelta(0))
    if differs <= CLOCKS_DIFFER:
        return ok("clock", "PostgreSQL's and this machine's agree")
    seconds = f"{differs.total_seconds():.0f} s"
    return warning(
        "clock",
        f"PostgreSQL's and this machine's differ by {seconds}",
        "have both follow a time server (NTP)",
    )


def _writable(connection: Connection) -> Line:
    with database.transaction(connection):
        ((is_standby, read_only),) = connection.execute(_WRITABLE)
    if is_standby:
        return failed(
            "writable",
            "the server is a standby, which takes no rows",
            "name the primary in DELIVERY_DATABASE_URL, or all hosts and "
            "?target_session_attrs=read-write",
        )
    if read_only == "on":
        return failed(
            "writable",
            "default_transaction_read_only is on: workers wait until it is off",
            "set it to off for the role, the database or the server, if no switchover is under way",
        )
    return ok("writable", "the server takes rows")


def _of_schema(
    connection: Connection, worker: WorkerSettings | None, is_announcing: bool
) -> Iterator[Line]:
    try:
        database.require_migrated(connection)
    except NotMigratedError as error:
        yield failed("schema", str(error), "delivery migrate, as the tables' owner")
        return
    yield ok("schema", f"revision {database.revision(connection)}")
    yield rights.line(connection, is_announcing)
    if worker is not None:
        yield zone.line(connection, worker)
