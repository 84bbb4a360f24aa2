"""A PostgreSQL that lets in whom its pg_hba.conf names: the embedded one, and one of the system's
packages, which has TLS and speaks Korean.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from certificates import Authority, Identity
from processes import wait_until

from delivery.embedded import postgres
from delivery.embedded.ports import HOST, free_port

PASSWORD = "s3cr3t-of-the-test"

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))), Path("absent"))

needs_package = pytest.mark.skipif(
    not PROGRAMS.exists(),
    reason="there is no PostgreSQL with TLS on this machine (Debian: the package postgresql)",
)

# Who comes from here is let in by the first line that fits.
RULES = """
host all postgres 127.0.0.1/32 trust
host all rejected 127.0.0.1/32 reject
host all worker 127.0.0.1/32 scram-sha-256
host all unknown 127.0.0.1/32 trust
host all unknown_too 127.0.0.1/32 scram-sha-256
host all no_login 127.0.0.1/32 scram-sha-256
"""
TLS_RULES = """
hostssl all certified 127.0.0.1/32 cert
hostssl all encrypted 127.0.0.1/32 trust
"""

ROLES = [
    f"CREATE ROLE worker LOGIN PASSWORD '{PASSWORD}'",
    f"CREATE ROLE no_login PASSWORD '{PASSWORD}'",
    "CREATE ROLE rejected LOGIN",
    "CREATE ROLE certified LOGIN",
    "CREATE ROLE encrypted LOGIN",
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    "CREATE DATABASE private",
    "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
]


@dataclass(frozen=True)
class Strict:
    """Where it listens, and with what it shows itself."""

    port: int
    authority: Authority
    client: Identity

    def url(self, user: str = "worker", database: str = "delivery", **options: object) -> str:
        login = f"{user}:{PASSWORD}" if user == "worker" else user
        asked = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{login}@{HOST}:{self.port}/{database}?{asked}"

    def admin(self) -> psycopg.Connection:
        return psycopg.connect(self.url("postgres"), autocommit=True)


@contextmanager
def embedded(folder: Path) -> Iterator[Strict]:
    server = postgres.start(folder / "postgres", settings={"fsync": "off"})
    try:
        with psycopg.connect(server.url, autocommit=True) as admin:
            (folder / "postgres" / "data" / "pg_hba.conf").write_text(RULES)
            admin.execute("SELECT pg_reload_conf()")
            for statement in ROLES:
                admin.execute(statement)
        authority = Authority(folder, "authority")
        yield Strict(server.port, authority, authority.issue("certified"))
    finally:
        server.stop()


@contextmanager
def packaged(folder: Path, certificate_for: str = HOST, expired: bool = False) -> Iterator[Strict]:
    authority = Authority(folder, "authority")
    shown = authority.issue("server", certificate_for, expired=expired)
    data, port = folder / "data", free_port()
    own = _owned_by_who_runs_it(folder)
    subprocess.run(
        [PROGRAMS.with_name("initdb"), "-D", data, "-U", "postgres", "--locale=C", "-E", "UTF8"],
        check=True,
        stdout=subprocess.DEVNULL,
        **own,
    )
    (data / "pg_hba.conf").write_text(RULES + TLS_RULES)
    for name, content in {
        "server.crt": shown.certificate,
        "server.key": shown.key,
        "ca.crt": authority.file,
    }.items():
        shutil.copy(content, data / name)
        (data / name).chmod(0o600)
        shutil.chown(data / name, data.owner())
    settings = {
        "port": str(port),
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "fsync": "off",
        "ssl": "on",
        "ssl_ca_file": "ca.crt",
        "lc_messages": "C.UTF-8",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    korean = os.environ | {"LANGUAGE": "ko", "LC_ALL": "C.UTF-8"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [PROGRAMS, "-D", data, *options], stdout=log, stderr=log, env=korean, **own
        )
    try:
        strict = Strict(port, authority, authority.issue("certified"))
        wait_until(lambda: _answers(strict), "PostgreSQL answers")
        with psycopg.connect(strict.url("postgres", "postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE delivery")
            for statement in ROLES:
                admin.execute(statement)
        yield strict
    finally:
        server.kill()
        server.wait()


def _answers(strict: Strict) -> bool:
    try:
        psycopg.connect(strict.url("postgres", "postgres")).close()
    except psycopg.OperationalError:
        return False
    return True


def _owned_by_who_runs_it(folder: Path) -> dict[str, str]:
    """PostgreSQL refuses to be root."""
    if os.getuid() != 0:
        return {}
    shutil.chown(folder, "nobody")
    folder.parent.chmod(0o711)
    return {"user": "nobody"}
