"""Nobody has the owner run code of theirs, and the owner builds where the tables are."""

import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from alembic import command
from every_command import AGE, Run, as_user
from psycopg import sql
from pydantic import SecretStr
from records import batch, value
from schema_dump import dumped

from delivery.cli import DONE, USAGE
from delivery.domain.event import Contract
from delivery.errors import SettingsError
from delivery.inbox import transaction
from delivery.postgres import database, migrations
from delivery.postgres.database import Session
from delivery.postgres.roles import grant


class Roles(NamedTuple):
    """URLs of one database for its owner, who is no superuser, and for a worker."""

    owner: str
    worker: str
    superuser: str


@pytest.fixture
def roles(empty_database_url: str) -> Iterator[Roles]:
    """A database where everybody may create in schema public, as one of PostgreSQL 14."""
    name = empty_database_url.rpartition("/")[2]
    owner, worker = f"{name}_owner", f"{name}_worker"
    with psycopg.connect(empty_database_url, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {owner} LOGIN")
        superuser.execute(f"CREATE ROLE {worker} LOGIN")
        superuser.execute(f"ALTER DATABASE {name} OWNER TO {owner}")
        yield Roles(
            as_user(owner, empty_database_url),
            as_user(worker, empty_database_url),
            empty_database_url,
        )
        superuser.execute(f"DROP OWNED BY {owner}, {worker} CASCADE")
        superuser.execute(f"ALTER DATABASE {name} OWNER TO postgres")
        superuser.execute(f"DROP ROLE {owner}, {worker}")


def execute(url: str, *statements: str) -> list[Any]:
    """Runs the statements, and gives the rows of the last one if it has any."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def migrate(url: str, revision: str) -> None:
    with migrations.engine(SecretStr(url)).connect() as connection:
        command.upgrade(migrations.config(connection), revision)


def user(url: str) -> str:
    return url.partition("@")[0].rpartition("/")[2]


@pytest.fixture
def worker_may_create(roles: Roles) -> Callable[[str], None]:
    """Migrates to a revision, and lets a worker do what everybody might do in PostgreSQL 14."""

    def prepare(revision: str) -> None:
        migrate(roles.owner, revision)
        function = "FUNCTION ensure_partitions(integer, integer)"
        execute(
            roles.superuser,
            f"GRANT EXECUTE ON {function} TO {user(roles.worker)}",
            "GRANT CREATE ON SCHEMA public TO PUBLIC",
        )

    return prepare


# Each is a better match for a call of ours than the function of PostgreSQL.
TRAPS = [
    "pg_advisory_xact_lock(integer)",
    "format(text, text)",
    "format(text, text, text)",
    "format(text, regclass)",
    "format(text, regclass, text)",
    "format(text, text, timestamptz, timestamptz)",
    "format(text, text, text, text, timestamptz, timestamptz)",
    "pg_has_role(text, oid, text)",
    "has_schema_privilege(text, text, text)",
    "hashtext(varchar)",
]


def set_traps(url: str, traps: list[str]) -> None:
    """Whoever runs one leaves the name of the role whose rights it had."""
    execute(
        url,
        "CREATE TABLE caught (role text)",
        "GRANT INSERT ON caught TO PUBLIC",
        *(
            f"CREATE FUNCTION public.{trap} RETURNS text LANGUAGE plpgsql AS "
            "'BEGIN INSERT INTO public.caught VALUES (current_user); RETURN NULL; END'"
            for trap in traps
        ),
        "CREATE FUNCTION public.caught(oid, regclass) RETURNS boolean LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO public.caught VALUES (current_user); RETURN true; END'",
        "CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = public.caught)",
    )


def caught(roles: Roles) -> set[str]:
    return {role for (role,) in execute(roles.superuser, "SELECT role FROM caught")}


def test_a_trap_works_where_functions_are_looked_up_beside_the_tables(
    roles: Roles, worker_may_create: Callable[[str], None]
) -> None:
    worker_may_create("0004")
    set_traps(roles.worker, TRAPS[:1])
    execute(roles.worker, "SELECT ensure_partitions(0, 13)")
    assert caught(roles) == {user(roles.owner)}


def test_a_worker_who_may_create_functions_has_the_owner_run_none(
    roles: Roles, worker_may_create: Callable[[str], None]
) -> None:
    worker_may_create("head")
    set_traps(roles.worker, TRAPS)
    ((made,),) = execute(roles.worker, "SELECT ensure_partitions(0, 13)")
    with pytest.raises(SettingsError, match=f"schema public has .* of role {user(roles.worker)}"):
        migrations.upgrade(SecretStr(roles.owner))
    with pytest.raises(SettingsError, match="may create functions in schema public"):
        grant(SecretStr(roles.owner), "worker", user(roles.worker))
    assert (made, caught(roles)) == (1, set())


def test_an_older_schema_is_not_migrated_over_functions_of_strangers(
    roles: Roles, worker_may_create: Callable[[str], None], run: Run
) -> None:
    worker_may_create("0004")
    set_traps(roles.worker, TRAPS)
    code, out, err = run(roles.owner, "migrate")
    assert (code, out, err.count("\n")) == (USAGE, "", 1)
    assert caught(roles) == set()
    execute(
        roles.worker,
        "DROP OPERATOR =(oid, regclass)",
        *(f"DROP FUNCTION public.{trap}" for trap in [*TRAPS, "caught(oid, regclass)"]),
    )
    assert run(roles.owner, "migrate")[0] == DONE


@pytest.mark.parametrize("kind", ["worker", "reader"])
@pytest.mark.parametrize("to", ["PUBLIC", "the role"])
def test_a_role_that_may_create_in_the_schema_gets_no_rights_until_it_may_not(
    roles: Roles, run: Run, kind: str, to: str
) -> None:
    name = user(roles.worker)
    migrate(roles.owner, "head")
    grantee = to if to == "PUBLIC" else name
    execute(roles.superuser, f"GRANT CREATE ON SCHEMA public TO {grantee}")
    code, _, err = run(roles.owner, "migrate", f"--{kind}-role", name)
    assert (code, err.count("\n")) == (USAGE, 1)
    remedy = err.partition("would run: ")[2]
    execute(roles.superuser, remedy)
    assert run(roles.owner, "migrate", f"--{kind}-role", name)[0] == DONE


@pytest.mark.parametrize(
    "months", ["-1, 12", "12, -1", "25, 12", "12, 25", "0, 2000000000", "NULL, 12", "12, NULL"]
)
def test_partitions_of_two_years_in_either_direction_are_made_and_of_no_more(
    database_url: str, months: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        execute(database_url, f"SELECT ensure_partitions({months})")
    assert execute(database_url, "SELECT ensure_partitions(24, 24)") == [(24,)]


def test_partitions_are_made_whatever_their_caller_has_set(database_url: str) -> None:
    made = execute(
        database_url,
        "SET DateStyle = 'German'",
        "SET TimeZone = 'Asia/Seoul'",
        "SET search_path = ''",
        "SELECT public.ensure_partitions(13, 13)",
    )
    bounds = execute(
        database_url,
        "SET TimeZone = 'UTC'",
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition "
        "AND relname ~ '^processed_events_[0-9_]*$' AND relkind = 'r'",
    )
    assert made == [(2,)]
    assert all(bound.count("-01 00:00:00+00'") == 2 for (bound,) in bounds)
    assert len(bounds) == 27


# Where the tables are


@pytest.mark.parametrize("schema", ["delivery", 'it\'s "odd"'])
def test_the_tables_may_have_a_schema_of_their_own(roles: Roles, run: Run, schema: str) -> None:
    named = sql.Identifier(schema)
    with psycopg.connect(roles.superuser, autocommit=True) as superuser:
        create = "CREATE SCHEMA {} AUTHORIZATION {}"
        superuser.execute(sql.SQL(create).format(named, sql.Identifier(user(roles.owner))))
        for url in (roles.owner, roles.worker):
            path = sql.SQL("ALTER ROLE {} SET search_path = {}")
            superuser.execute(path.format(sql.Identifier(user(url)), named))
    assert run(roles.owner, "migrate", "--worker-role", user(roles.worker))[0] == DONE
    worker = Session(SecretStr(roles.worker), AGE)
    database.require_migrated(worker.connection())
    outcomes = transaction.process(worker.connection(), Contract(), batch(value(1), b"no JSON"))
    assert +outcomes == {"created": 1, "rejected": 1}
    ((made,),) = worker.connection().execute("SELECT ensure_partitions(0, 13)")
    worker.drop()
    assert run(roles.owner, "erase", "--order", "1", "--reason", "a test")[0] == DONE
    assert run(roles.owner, "verify", "--database-only")[:2] == (DONE, "")
    where = execute(
        roles.superuser,
        "SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class "
        "WHERE relname LIKE 'processed_events%'",
    )
    assert (made, len(where)) == (1, 1)


@pytest.mark.parametrize("path", ["''", "nowhere", "'$user'"])
def test_a_search_path_that_leads_nowhere_is_one_line(roles: Roles, run: Run, path: str) -> None:
    execute(roles.superuser, f"ALTER ROLE {user(roles.owner)} SET search_path = {path}")
    code, out, err = run(roles.owner, "migrate")
    assert (code, out, err.count("\n")) == (USAGE, "", 1)
    assert "search_path" in err


def test_tables_are_not_built_a_second_time_where_the_search_path_changed(
    roles: Roles, run: Run
) -> None:
    assert run(roles.owner, "migrate")[0] == DONE
    execute(
        roles.superuser,
        f"CREATE SCHEMA app AUTHORIZATION {user(roles.owner)}",
        f"ALTER ROLE {user(roles.owner)} SET search_path = app, public",
    )
    code, out, err = run(roles.owner, "migrate")
    assert (code, out, err.count("\n")) == (USAGE, "", 1)
    assert "SET search_path = public" in err


def test_a_role_that_does_not_look_where_the_tables_are_learns_where(
    roles: Roles, run: Run
) -> None:
    assert run(roles.owner, "migrate", "--worker-role", user(roles.worker))[0] == DONE
    execute(roles.superuser, f"ALTER ROLE {user(roles.worker)} SET search_path = ''")
    code, _, err = run(roles.worker, "stats")
    assert (code, err.count("\n")) == (USAGE, 1)
    assert "in schema public" in err


def test_the_statements_for_a_dba_build_the_same(
    empty_database_url: str, database_url: str
) -> None:
    with migrations.engine(SecretStr(empty_database_url)).connect() as connection:
        config = migrations.config(connection)
    config.attributes.clear()
    config.output_buffer = io.StringIO()
    command.upgrade(config, "head", sql=True)
    execute(empty_database_url, config.output_buffer.getvalue())
    assert dumped(empty_database_url) == dumped(database_url)
