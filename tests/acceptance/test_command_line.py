"""What all commands share: how they are listed, and that each imports what it needs and no more."""

import os
import re
import subprocess
import sys

import pytest
from service import Service

from delivery.cli import commands
from delivery.cli.commands import COMMANDS

# What takes long to import, and is of use to some commands only.
HEAVY = {
    "alembic",
    "delivery.embedded",
    "delivery.inbox",
    "delivery.web.app",
    "fastapi",
    "jinja2",
    "kafka",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "sqlalchemy",
    "uvicorn",
}
NEEDED = {
    "worker": {"delivery.inbox", "kafka", "psycopg", "pydantic"},
    "status": {"kafka", "psycopg", "pydantic"},
    "check": {"kafka", "psycopg", "pydantic"},
    "history": {"psycopg", "pydantic", "sqlalchemy"},
    "dead-letters": {"delivery.inbox", "psycopg", "pydantic"},
    "stats": {"kafka", "psycopg", "pydantic", "sqlalchemy"},
    "verify": {"kafka", "psycopg", "pydantic"},
    "rewind": {"delivery.inbox", "kafka", "psycopg", "pydantic"},
    "import": {"delivery.inbox", "psycopg", "pydantic"},
    "announce": {"delivery.inbox", "kafka", "psycopg", "pydantic"},
    "archive": {"psycopg", "pydantic"},
    "erase": {"psycopg", "pydantic"},
    "serve": {"psycopg", "pydantic"},  # the rest when it serves
    "migrate": {"alembic", "psycopg", "pydantic", "sqlalchemy"},
    "downgrade": {"alembic", "psycopg", "pydantic", "sqlalchemy"},
    "publish": {"kafka", "pydantic"},
    "schema": {"pydantic"},
    "dev": {"alembic", "delivery.embedded", "kafka", "psycopg", "pydantic", "sqlalchemy"},
    "quickstart": {"delivery.embedded", "kafka", "psycopg", "pydantic"},
}
RUN = "from delivery.cli import run; code = run()"
TELL = "import sys; print(*sys.modules, file=sys.stderr)"


def python(*arguments: str) -> str:
    """Runs Python with these arguments. Returns its stdout and then its stderr."""
    told = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return told.stdout + told.stderr


def test_the_help_lists_the_commands_in_their_order_each_with_one_line() -> None:
    told = python("-m", "delivery", "--help")
    listed = re.findall(r"^. ([a-z-]+) +([A-Z].*\.) +.$", told, re.MULTILINE)
    assert listed == list(COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_paragraph_of_its_own_help(name: str) -> None:
    assert commands.load(name).help.split("\n\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_to_list_the_commands_none_is_imported(option: str) -> None:
    told = python("-c", f"{RUN}; {TELL}", option)
    assert HEAVY & set(told.split()) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_imports_what_it_needs_and_no_more(name: str) -> None:
    told = python("-c", f"{RUN}; {TELL}", name, "--help")
    assert HEAVY & set(told.split()) == NEEDED[name]


def test_a_worker_that_runs_imports_no_more(service: Service) -> None:
    service.publish([])
    worker = service.run("-c", f"{RUN}; {TELL}; sys.exit(code)", "worker", "--drain")
    assert worker.exit_code() == 0
    assert HEAVY & set(worker.stderr().split()) == NEEDED["worker"]


# Presses Ctrl-C at the beginning of the import of the module that is its first argument.
INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
module = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupt())
from delivery.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "module",
    ["delivery.interrupt", "delivery.cli", "typer", "delivery.cli.history", "pydantic", "psycopg"],
)
def test_ctrl_c_while_a_command_is_imported_leaves_no_traceback(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, "history"],
        env={k: v for k, v in os.environ.items() if not k.startswith("DELIVERY_")}
        | {"DELIVERY_DATABASE_URL": "postgresql://u@127.0.0.1:1/d"},
        capture_output=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


def test_ctrl_c_is_ignored_where_it_was_before() -> None:
    """As by a shell's background job."""
    ignoring = INTERRUPTED.replace("default_int_handler", "SIG_IGN")
    said = python("-c", ignoring, "delivery.cli.history", "history", "--help")
    assert "Usage" in said
