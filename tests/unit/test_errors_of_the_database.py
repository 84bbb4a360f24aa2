"""What PostgreSQL's error codes mean for a batch: wait, decide again, a dead letter, or stop."""

import psycopg
import pytest
from psycopg.errors import lookup

from delivery.errors import (
    ForbiddenError,
    NotMigratedError,
    RaceError,
    RefusedError,
    UnavailableError,
)
from delivery.postgres.sqlstate import translated_errors


@pytest.mark.parametrize(
    ("sqlstate", "meaning"),
    [
        pytest.param("08006", UnavailableError, id="connection failure"),
        pytest.param("53100", UnavailableError, id="disk full"),
        pytest.param("53300", UnavailableError, id="too many connections"),
        pytest.param("57014", UnavailableError, id="statement_timeout"),
        pytest.param("57P01", UnavailableError, id="shut down by an administrator"),
        pytest.param("57P02", UnavailableError, id="crash"),
        pytest.param("57P03", UnavailableError, id="starting up"),
        pytest.param("25006", UnavailableError, id="read-only after a failover"),
        pytest.param("25P03", UnavailableError, id="idle_in_transaction_session_timeout"),
        pytest.param("25P04", UnavailableError, id="transaction_timeout"),
        pytest.param("55P03", UnavailableError, id="lock_timeout"),
        pytest.param("58030", UnavailableError, id="I/O error"),
        pytest.param("40001", RaceError, id="serialization failure"),
        pytest.param("40P01", RaceError, id="deadlock"),
        pytest.param("22003", RefusedError, id="number out of range"),
        pytest.param("22P02", RefusedError, id="not of the type's form"),
        pytest.param("22P05", RefusedError, id="a character the database's encoding lacks"),
        pytest.param("23502", RefusedError, id="not null"),
        pytest.param("23503", RefusedError, id="foreign key"),
        pytest.param("23505", RefusedError, id="a unique constraint of somebody else's"),
        pytest.param("23514", RefusedError, id="check"),
        pytest.param("P0001", RefusedError, id="somebody's trigger"),
        pytest.param("42P01", NotMigratedError, id="no such table"),
        pytest.param("42703", NotMigratedError, id="no such column"),
        pytest.param("42501", ForbiddenError, id="no privilege"),
        pytest.param("42601", lookup("42601"), id="syntax: ours"),
        pytest.param("25P02", lookup("25P02"), id="a failed transaction: ours"),
    ],
)
def test_an_error_code_says_what_to_do(sqlstate: str, meaning: type[BaseException]) -> None:
    with pytest.raises(meaning) as caught, translated_errors():
        raise lookup(sqlstate)("a message")
    assert caught.type is meaning


@pytest.mark.parametrize("kind", [psycopg.OperationalError, psycopg.InterfaceError])
def test_a_connection_that_broke_has_no_code_and_is_transient(kind: type[psycopg.Error]) -> None:
    with pytest.raises(UnavailableError), translated_errors():
        raise kind("server closed the connection")


# To wait for a better moment would be to wait for ever.
@pytest.mark.parametrize("kind", [psycopg.DataError, psycopg.ProgrammingError])
def test_a_value_that_the_client_refuses_is_not_transient(kind: type[psycopg.Error]) -> None:
    with pytest.raises((kind, RefusedError)), translated_errors():
        raise kind("timestamp too large (after year 10K)")


def test_other_exceptions_pass() -> None:
    with pytest.raises(KeyError), translated_errors():
        raise KeyError
