"""Each mistake in a database's URL has a line of its own, and exit code 2; an outage has 3."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from certificates import Authority
from every_command import Run
from pydantic import SecretStr
from relay import silent_server
from strict_postgres import PASSWORD, Strict, embedded, needs_package, packaged

from delivery.cli import UNREACHABLE, USAGE
from delivery.errors import UnavailableError
from delivery.postgres.database import Session

WRONG = "wr0ng-pa55"


def wrong(url: str) -> str:
    return url.replace(PASSWORD, WRONG)


# The URL of a server, and what is said.
REFUSED: dict[str, tuple[Callable[[Strict], str], str]] = {
    "wrong password": (lambda s: wrong(s.url()), "28P01: "),
    "unknown role": (lambda s: s.url("unknown"), "28000: "),
    "unknown role, with a password": (
        lambda s: wrong(s.url()).replace("worker:", "unknown_too:"),
        "28P01: ",
    ),
    "no password": (
        lambda s: s.url().replace(f":{PASSWORD}@", "@"),
        "no password supplied: it has no password, and the server asks for one",
    ),
    "no entry in pg_hba.conf": (lambda s: s.url("elsewhere"), "28000: "),
    "rejected by pg_hba.conf": (lambda s: s.url("rejected"), "28000: "),
    "a role that may not log in": (lambda s: s.url().replace("worker:", "no_login:"), "28000: "),
    "unknown database": (lambda s: s.url("postgres", "absent"), "3D000: "),
    "a database without CONNECT": (lambda s: s.url(database="private"), "42501: "),
    "an option that is not known": (
        lambda s: s.url("postgres", options="-c%20colour%3Dred"),
        "42704: ",
    ),
    "a value that an option can't have": (
        lambda s: s.url("postgres", options="-c%20work_mem%3Dred"),
        "22023: ",
    ),
    "each of two servers": (
        lambda s: wrong(s.url()).replace(f":{s.port}", f":{s.port},127.0.0.1:{s.port}"),
        "28P01: ",
    ),
    "an sslmode that there is not": (
        lambda s: s.url("postgres", sslmode="perhaps"),
        'invalid sslmode value: "perhaps"',
    ),
}

TRANSIENT: dict[str, Callable[[Strict], str]] = {
    "nobody listens": lambda s: s.url().replace(f":{s.port}", ":1"),
    "an unknown host": lambda s: s.url().replace("127.0.0.1", "postgres.invalid"),
    "a database that takes no connections": lambda s: s.url("postgres", "closed"),
    "one of two servers refuses, and the other is away": lambda s: wrong(s.url()).replace(
        f":{s.port}", f":{s.port},127.0.0.1:1"
    ),
    "no primary": lambda s: s.url("postgres", target_session_attrs="standby"),
}


@pytest.fixture(scope="module", params=["embedded", pytest.param("package", marks=needs_package)])
def strict(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Strict]:
    """A server that refuses strangers; that of the package says so in Korean."""
    folder = server_folder / f"strict-{request.param}"
    folder.mkdir()
    with (embedded if request.param == "embedded" else packaged)(folder) as server:
        yield server


def refused(run: Run, url: str, line: str) -> str:
    """What a command said whose PostgreSQL refuses it."""
    code, out, said = run(url, "stats")
    assert said.startswith("delivery: PostgreSQL refuses DELIVERY_DATABASE_URL: ")
    assert line in said
    assert (code, out, said.count("\n")) == (USAGE, "", 1)
    return said


@pytest.mark.parametrize(("url", "line"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_one_line_that_names_the_setting(
    run: Run, strict: Strict, url: Callable[[Strict], str], line: str
) -> None:
    said = refused(run, url(strict), line)
    assert PASSWORD not in said
    assert WRONG not in said


@pytest.mark.parametrize("url", TRANSIENT.values(), ids=TRANSIENT)
def test_what_may_be_otherwise_at_the_next_start_is_no_fault_of_a_setting(
    run: Run, strict: Strict, url: Callable[[Strict], str]
) -> None:
    code, out, said = run(url(strict), "stats")
    assert (code, out, said.count("\n")) == (UNREACHABLE, "", 1), said
    assert PASSWORD not in said


def test_a_server_that_is_full_is_none_either(run: Run, strict: Strict) -> None:
    with strict.admin() as admin:
        admin.execute("ALTER ROLE worker CONNECTION LIMIT 0")
        try:
            code, _, said = run(strict.url(), "stats")
        finally:
            admin.execute("ALTER ROLE worker CONNECTION LIMIT -1")
    assert code == UNREACHABLE, said


def test_nor_is_one_that_says_nothing(run: Run) -> None:
    with silent_server() as port:
        assert run(f"postgresql://u@127.0.0.1:{port}/d", "stats")[0] == UNREACHABLE


COMMANDS = [
    ("worker",),
    ("worker", "--drain"),
    ("history",),
    ("dead-letters", "list"),
    ("dead-letters", "show", "1"),
    ("dead-letters", "replay", "1"),
    ("dead-letters", "discard", "1", "--note", "why"),
    ("stats",),
    ("verify", "--database-only"),
    ("announce",),
    ("announce", "--switch-off"),
    ("serve", "--port", "0"),
    ("migrate",),
    ("migrate", "status"),
    ("migrate", "--check"),
    ("migrate", "--sql"),
    ("downgrade", "0001"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_says_it(
    run: Run, strict: Strict, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DELIVERY_ANNOUNCE_TOPIC", "deliveries")
    code, _, said = run(wrong(strict.url()), *command)
    assert (code, said.count("\n")) == (USAGE, 1), said
    assert "PostgreSQL refuses DELIVERY_DATABASE_URL: " in said


def test_serve_names_its_own_setting(
    run: Run, strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELIVERY_WEB_DATABASE_URL", wrong(strict.url()))
    code, _, said = run(strict.url(), "serve", "--port", "0")
    assert code == USAGE
    assert said.startswith("delivery: PostgreSQL refuses DELIVERY_WEB_DATABASE_URL: ")


def test_who_was_let_in_before_waits_for_the_password_to_be_right_again(strict: Strict) -> None:
    worker = Session(SecretStr(strict.url()), timedelta(seconds=45))
    with strict.admin() as admin:
        worker.connection()
        worker.drop()
        admin.execute(f"ALTER ROLE worker PASSWORD '{WRONG}'")
        try:
            with pytest.raises(UnavailableError):
                worker.connection()
        finally:
            admin.execute(f"ALTER ROLE worker PASSWORD '{PASSWORD}'")
    assert worker.connection().execute("SELECT 1").fetchone() == (1,)
    worker.drop()


# TLS


@pytest.fixture(scope="module")
def tls(server_folder: Path) -> Iterator[Strict]:
    folder = server_folder / "tls"
    folder.mkdir()
    with packaged(folder) as server:
        yield server


def other(strict: Strict) -> Authority:
    return Authority(strict.authority.file.parent, "stranger")


def with_certificate(strict: Strict, **files: object) -> str:
    trusted = {"sslmode": "verify-full", "sslrootcert": strict.authority.file}
    own = {"sslcert": strict.client.certificate, "sslkey": strict.client.key}
    return strict.url("certified", **trusted | own | files)


TLS_WORKS: dict[str, Callable[[Strict], str]] = {
    "verify-full": lambda s: s.url(sslmode="verify-full", sslrootcert=s.authority.file),
    "a certificate of ours": lambda s: with_certificate(s),
}

TLS_REFUSED: dict[str, tuple[Callable[[Strict], str], str]] = {
    "another CA": (
        lambda s: s.url(sslmode="verify-full", sslrootcert=other(s).file),
        "certificate verify failed: sslrootcert there",
    ),
    "a CA's file that is not there": (
        lambda s: s.url(sslmode="verify-full", sslrootcert="/absent.pem"),
        "sslrootcert there has to be",
    ),
    "a CA's file that holds none": (
        lambda s: s.url(sslmode="verify-full", sslrootcert=s.client.key),
        "sslrootcert there has to be",
    ),
    "another name": (
        lambda s: s.url(sslmode="verify-full", sslrootcert=s.authority.file).replace(
            "127.0.0.1", "localhost"
        ),
        'does not match host name "localhost": the host there',
    ),
    "no TLS where the server wants it": (
        lambda s: s.url("encrypted", sslmode="disable"),
        "28000: ",
    ),
    "no certificate of ours": (
        lambda s: s.url("certified", sslmode="require", sslcert="/absent", sslkey="/absent"),
        "28000: ",
    ),
    "a certificate for another user": (
        lambda s: with_certificate(
            s,
            sslcert=(issued := s.authority.issue("someone")).certificate,
            sslkey=issued.key,
        ),
        "28000: ",
    ),
    "our certificate is another CA's": (
        lambda s: with_certificate(
            s, sslcert=(issued := other(s).issue("certified")).certificate, sslkey=issued.key
        ),
        "alert unknown ca: sslcert there",
    ),
    "our certificate expired": (
        lambda s: with_certificate(
            s,
            sslcert=(late := s.authority.issue("certified", expired=True)).certificate,
            sslkey=late.key,
        ),
        "alert certificate expired: sslcert there",
    ),
    "another certificate's key": (
        lambda s: with_certificate(s, sslkey=other(s).issue("certified").key),
        "sslcert and sslkey there",
    ),
    "a certificate without its key": (
        lambda s: with_certificate(s, sslkey="/absent"),
        "sslcert and sslkey there",
    ),
    "a version of TLS that the server has not": (
        lambda s: s.url(
            sslmode="require", ssl_min_protocol_version="TLSv1", ssl_max_protocol_version="TLSv1"
        ),
        "ssl_max_protocol_version there ask for",
    ),
    "a login that the server does not do": (
        lambda s: s.url(require_auth="gss"),
        "require_auth there asks",
    ),
    "a channel binding without TLS": (
        lambda s: s.url(sslmode="disable", channel_binding="require"),
        "channel_binding or require_auth there asks",
    ),
}


@needs_package
@pytest.mark.parametrize("url", TLS_WORKS.values(), ids=TLS_WORKS)
def test_tls_works_where_all_is_right(tls: Strict, url: Callable[[Strict], str]) -> None:
    psycopg.connect(url(tls)).close()


@needs_package
@pytest.mark.parametrize(("url", "line"), TLS_REFUSED.values(), ids=TLS_REFUSED)
def test_a_mistake_with_tls_is_one_line_that_says_what_to_change(
    run: Run, tls: Strict, url: Callable[[Strict], str], line: str
) -> None:
    refused(run, url(tls), line)


def test_a_server_without_tls_is_one_too(run: Run, server_folder: Path) -> None:
    folder = server_folder / "without-tls"
    folder.mkdir()
    with embedded(folder) as server:
        code, _, said = run(server.url(sslmode="require"), "stats")
    assert code == USAGE
    assert "sslmode there asks for TLS, which the server has not" in said


@needs_package
def test_a_servers_certificate_that_expired_is_one_too(run: Run, server_folder: Path) -> None:
    folder = server_folder / "expired"
    folder.mkdir()
    with packaged(folder, expired=True) as server:
        url = server.url(sslmode="verify-full", sslrootcert=server.authority.file)
        code, _, said = run(url, "stats")
    assert code == USAGE
    assert "which has to be in date" in said
