"""What deploy/ names is there: commands, options, settings, paths, exit codes.

No Docker engine, no cluster and no systemd is needed, and none is replaced: these tests find what a
rename or a typing error breaks.
"""

import re
import shlex
from collections.abc import Iterator

import deployment
import pytest
from deployment import FOLDER, ROOT, TEXTS

from delivery import cli, errors, settings
from delivery.cli import DONE, NO, UNREACHABLE, USAGE, commands

# Commands

PLACEHOLDERS = {"ID": "7", "REASON": "not_json", "TEXT": "a test order"}
IN_BACKTICKS = re.compile(r"`delivery (\S[^`]*)`")
AT_A_PROMPT = re.compile(r"^(?:\$ |\$ .* -- |\$ .*/bin/)delivery (\S.*)$", re.MULTILINE)
IN_A_CONTAINER = re.compile(r"run --rm --no-deps (?:-T )?worker (\S[^<\n]*)")


def written_commands(text: str) -> Iterator[str]:
    """The command lines that people are told to type."""
    lines = re.sub(
        r"\n[ \t]*(?:#|--)? +", " ", text
    )  # one that runs over two lines, in comments too
    yield from IN_BACKTICKS.findall(lines)
    yield from AT_A_PROMPT.findall(text)
    yield from IN_A_CONTAINER.findall(text)


def started_commands() -> Iterator[tuple[str, list[str]]]:
    """The command lines that a supervisor starts."""
    for name, service in deployment.our_services().items():
        yield f"compose.yaml {name}", service["command"]
    for name, pod in deployment.pods().items():
        yield f"kubernetes {name}", deployment.only_container(pod)["args"]
    for name in deployment.UNITS:
        (line,) = deployment.unit(name)["ExecStart"]
        yield name, line.removeprefix("/opt/delivery/bin/delivery ").split()


COMMANDS = [
    *started_commands(),
    *(
        (name, [PLACEHOLDERS.get(word, word) for word in shlex.split(command)])
        for name, text in TEXTS.items()
        for command in written_commands(text)
    ),
]


def test_the_commands_are_found() -> None:
    names = {name for name, _ in COMMANDS}
    assert {"compose.yaml worker", "kubernetes delivery-migrate"} < names
    assert {"deploy/README.md", "deploy/prometheus/alerts.yaml", "deploy/compose.yaml"} < names


@pytest.mark.parametrize(("place", "words"), COMMANDS, ids=str)
def test_a_command_and_its_options_exist(place: str, words: list[str]) -> None:
    name, *rest = words
    assert name in commands.COMMANDS, place
    command = commands.load(name)
    while hasattr(command, "commands"):
        name, *rest = rest
        assert name in command.commands, place
        command = command.commands[name]
    command.make_context(name, rest)  # raises for an option that is not there, or a wrong value


# Settings

SETTINGS = deployment.all_settings()
NO_SETTING = {"DELIVERY_TRACEBACK", "DELIVERY_SECRETS_DIR"}  # where and how settings are read


@pytest.mark.parametrize("place", TEXTS)
def test_a_variable_that_is_named_is_a_setting(place: str) -> None:
    named = set(re.findall(r"\bDELIVERY_[A-Z_]+[A-Z]\b", TEXTS[place]))
    assert named - NO_SETTING <= SETTINGS.keys()


def environments() -> Iterator[tuple[str, str, deployment.Environment]]:
    """Where it stands, the command that runs in it, and the variables it gives."""
    for name, service in deployment.our_services().items():
        yield f"compose.yaml {name}", service["command"][0], deployment.of_compose(service)
    for name, pod in deployment.pods().items():
        container = deployment.only_container(pod)
        given = deployment.of_container(pod)
        yield f"kubernetes {name}", container["args"][0], given
    for command in ("worker", "serve", "announce"):
        for all_of_it in (False, True):
            given = deployment.environment_file(f"{command}.env.example", all_of_it)
            yield f"{command}.env.example {all_of_it}", command, given


@pytest.mark.parametrize(("place", "command", "environment"), list(environments()), ids=str)
def test_an_environment_has_what_its_command_needs(
    place: str, command: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings.check(*deployment.READ_BY[command])
    if command == "serve":
        assert settings.load(settings.WebSettings).reader_url, place


def test_no_setting_is_declared_that_no_command_reads() -> None:
    """So that `READ_BY` follows the code: a class of settings that is new belongs there."""
    read = {found for kinds in deployment.READ_BY.values() for found in kinds}
    assert set(SETTINGS.values()) <= read


# Paths

OURS = re.compile(r"(?<![\w/-])(?:deploy|tests|alembic|delivery)/[\w.@*/-]*\w")
MADE_BY_THE_READER = {"deploy/.env"}


@pytest.mark.parametrize("place", TEXTS)
def test_a_path_of_the_checkout_that_is_named_exists(place: str) -> None:
    named = set(OURS.findall(TEXTS[place])) - MADE_BY_THE_READER
    assert [path for path in named if not list(ROOT.glob(path.removesuffix(".")))] == []


def test_the_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXTS["deploy/README.md"])
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []


def test_the_units_files_are_the_ones_that_the_readme_installs() -> None:
    readme = TEXTS["deploy/README.md"]
    for command, name in (
        ("worker", "delivery-worker@.service"),
        ("serve", "delivery-serve.service"),
        ("announce", "delivery-announce.service"),
    ):
        (file,) = deployment.unit(name)["EnvironmentFile"]
        assert f"deploy/systemd/{command}.env.example {file}\n" in readme
        assert "-m venv /opt/delivery\n" in readme


# Exit codes

SAID = re.compile(r"\b(\d) (done|the answer is no|usage|settings|a service can't be reached)")
MEANT = {
    "done": DONE,
    "the answer is no": NO,
    "usage": USAGE,
    "settings": USAGE,
    "a service can't be reached": UNREACHABLE,
}


def test_exit_codes_mean_what_the_files_say() -> None:
    said = [pair for text in TEXTS.values() for pair in SAID.findall(text)]
    assert {meaning for _, meaning in said} >= {"done", "the answer is no", "settings"}
    assert [(code, what) for code, what in said if MEANT[what] != int(code)] == []
    codes = cli._EXIT_CODES
    assert (codes[errors.FloodError], codes[errors.NotMigratedError]) == (NO, USAGE)
    assert codes[errors.UnavailableError] == UNREACHABLE
