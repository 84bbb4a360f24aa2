"""The first minutes with the command line: help, completion, and what is said on the way."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from processes import environment, wait_until
from service import Service

from delivery.cli import commands
from delivery.cli.commands import COMMANDS
from delivery.cli.quickstart import EXAMPLES


def delivery(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return warm.run(*arguments, environment=environment({}) | variables, timeout=60)


@pytest.mark.parametrize("command", [[], ["history"], ["dead-letters", "list"]])
def test_minus_h_is_help(command: list[str]) -> None:
    short, long = delivery(*command, "-h"), delivery(*command, "--help")
    assert (short.returncode, short.stdout) == (0, long.stdout)
    assert "Usage: delivery" in short.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_brackets_in_a_help_text_are_shown(name: str) -> None:
    written = set(re.findall(r"\w\\?(\[\w+\])", commands.load(name).help))
    assert all(brackets in delivery(name, "--help").stdout for brackets in written)
    assert name != "dev" or written == {"[embedded]"}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("delivery d", ["dead-letters", "downgrade", "dev"]),
        ("delivery history --o", ["--outcome", "--ordered-by"]),
        ("delivery history --format ", ["table", "json", "csv"]),
        ("delivery dead-letters re", ["replay"]),
    ],
)
def test_the_shell_completes_commands_options_and_values(typed: str, offered: list[str]) -> None:
    word = str(typed.count(" "))
    done = delivery(COMP_WORDS=typed, COMP_CWORD=word, _DELIVERY_COMPLETE="complete_bash")
    assert (done.returncode, done.stdout.split()) == (0, offered)
    script = delivery(_DELIVERY_COMPLETE="source_bash").stdout
    assert "_DELIVERY_COMPLETE=complete_bash" in script


@pytest.mark.parametrize("command", ["stats", "worker", "serve"])
def test_a_mistyped_variable_is_named_with_the_nearest_setting(command: str) -> None:
    done = delivery(command, DELIVERY_DATABSE_URL="postgresql://h/d")
    warning, error = done.stderr.splitlines()
    assert "DELIVERY_DATABSE_URL is no setting, and is not used: " in warning
    assert "did you mean DELIVERY_DATABASE_URL?" in warning
    assert warning.startswith("{") is (command != "stats")  # a log's line where stderr is a log
    assert error.startswith("delivery: DELIVERY_DATABASE_URL is not set: ")
    assert done.returncode == 2


def test_a_drained_topic_is_told_in_words(service: Service) -> None:
    variables = {f"DELIVERY_{name.upper()}": value for name, value in service.settings.items()}
    service.publish([])
    assert delivery("publish", str(EXAMPLES / "orders.jsonl"), **variables).returncode == 0
    first = delivery("worker", "--drain", **variables)
    assert first.stdout == (
        "13 records read to the topic's end: 4 created, 1 updated, 1 stale, 2 duplicate, "
        "1 conflict, 4 rejected; `delivery dead-letters list` shows the rejected ones\n"
    )
    second = delivery("worker", "--drain", **variables)
    assert second.stdout == "nothing to read: the group has read the topic to its end\n"


def test_what_quickstart_says_to_type_next_works_as_it_is_printed(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "delivery", "quickstart"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    ).stderr
    typed = re.findall(r"^  (\S.*)$", told.partition("\nNext")[2], re.MULTILINE)
    assert len(typed) == 6
    dev, *others = typed
    data = shlex.quote(str(tmp_path / "data"))  # and not the user's own
    servers = subprocess.Popen(
        ["bash", "-c", dev.replace(" dev ", f" dev --data {data} ")],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        dev_env = tmp_path / "dev.env"
        wait_until(
            lambda: (
                servers.poll() is not None
                or (dev_env.exists() and dev_env.read_text().count("\n") == 2)
            ),
            "dev prints the two settings",
        )
        done = subprocess.run(
            ["bash", "-euc", "\n".join(others)],
            cwd=tmp_path,
            capture_output=True,
            check=True,
            text=True,
            timeout=90,
        )
    finally:
        os.killpg(servers.pid, signal.SIGINT)  # as Ctrl-C in its terminal
        _, progress = servers.communicate(timeout=60)
    assert "records read to the topic's end" in done.stdout
    assert "OrderCreateEvent/0/" in done.stdout
    assert "Usage: delivery" in done.stdout
    said = ["PostgreSQL is up after", "Kafka is up after", "migrating", "running", "stopped"]
    assert all(text in progress for text in said)
