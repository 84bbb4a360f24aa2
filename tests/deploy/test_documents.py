"""What documents, code and tests cite is there; so is what the workflow runs."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from deployment import ROOT, all_settings

from delivery.cli import commands
from delivery.domain.vocabulary import OUTCOMES, REASONS, RESOLUTIONS, STATUSES

FOLDERS = ("alembic", "benchmarks", "delivery", "deploy", "docs", "scripts", "tests")
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
ARCHITECTURE = ROOT / "docs/architecture.md"
SOURCES = [path for name in FOLDERS for path in (ROOT / name).rglob("*.py")]

LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
NAME_IN_A_MODULE = re.compile(r"\[`([\w.]+)`\]\(([^)]+\.py)\)")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
NAME_OF_A_DOCUMENT = re.compile(r"\b[A-Z][A-Z_]+\.md\b")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_links_to_files_that_are_there(document: Path) -> None:
    text = document.read_text()
    assert [link for link in LINK.findall(text) if not (document.parent / link).exists()] == []
    assert [path for path in PATH.findall(text) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_functions_that_are_where_it_says(document: Path) -> None:
    named = NAME_IN_A_MODULE.findall(document.read_text())
    assert [name for name, link in named if not declares(document.parent / link, name)] == []


def declares(module: Path, dotted: str) -> bool:
    """Whether the module has the last part of the name, and the class before it."""
    text = module.read_text()
    return all(
        re.search(rf"^ *(?:(?:async )?def|class) {name}\b|^{name}\b.* = ", text, re.MULTILINE)
        for name in dotted.split(".")[-1 if dotted[0].islower() else 0 :]
    )


def test_code_and_tests_cite_documents_that_are_there() -> None:
    there = {path.name for path in DOCUMENTS}
    cited = {(path.name, name) for path in SOURCES for name in cites(path.read_text())}
    assert {(where, name) for where, name in cited if name not in there} == set()


def cites(text: str) -> list[str]:
    return NAME_OF_A_DOCUMENT.findall(text)


def workflow() -> dict[str, Any]:
    """It. YAML 1.1 takes its key `on` for a truth value."""
    read = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    return {"on" if name is True else name: value for name, value in read.items()}


def test_the_workflow_is_one_that_github_understands() -> None:
    schemas = files("check_jsonschema.builtin_schemas.vendor")
    schema = (schemas / "github-workflows.json").read_text()
    jsonschema_rs.validate(yaml.safe_load(schema), workflow())


def test_the_workflow_runs_what_has_to_be_green_on_versions_that_are_promised() -> None:
    job = workflow()["jobs"]["run"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = job["strategy"]["matrix"]["python"]
    assert project["requires-python"] == f">={versions[0]}"
    promised = {name.rpartition(" ")[2] for name in project["classifiers"] if "Python ::" in name}
    assert set(versions) <= promised


def test_before_a_commit_nothing_is_fetched() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    assert all((ROOT / hook["entry"]).exists() for hook in repository["hooks"])


def test_the_glossary_explains_every_word_of_the_vocabulary() -> None:
    words = {*OUTCOMES, *REASONS, *STATUSES, *RESOLUTIONS}
    glossary = (ROOT / "docs/glossary.md").read_text()
    assert {word for word in words if f"`{word}`" not in glossary} == set()


def test_the_pictures_show_every_outcome_status_and_resolution() -> None:
    pictures = " ".join(re.findall("```mermaid(.*?)```", ARCHITECTURE.read_text(), re.DOTALL))
    words = {*OUTCOMES, *STATUSES, *RESOLUTIONS}
    assert {word for word in words if not re.search(rf"\b{word}\b", pictures)} == set()


def test_the_packages_are_those_that_may_be_imported_so() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", ARCHITECTURE.read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    declared = {name for layer in layers for name in re.findall(r"\w+", layer)}
    assert set(rows) == declared - {"__main__"}


CORE = ("delivery/domain", "delivery/inbox", "delivery/worker", "delivery/broker/consumer.py")


def test_the_readme_says_how_long_the_core_is_and_how_long_all_of_it() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    (said,) = re.findall(r"about ([\d,]+) of the package's ([\d,]+) lines", text)
    for number, paths in zip(said, (CORE, ("delivery",)), strict=True):
        assert lines_of(paths) == pytest.approx(int(number.replace(",", "")), rel=0.1)


def lines_of(paths: tuple[str, ...]) -> int:
    """How many lines of Python are in these modules and folders."""
    modules = {m for path in map(ROOT.joinpath, paths) for m in [path, *path.rglob("*.py")]}
    return sum(len(m.read_text().splitlines()) for m in modules if m.is_file())


# How settings are read, and where.
NO_SETTING = {"DELIVERY_SECRETS_DIR", "DELIVERY_TRACEBACK"}


def test_the_readme_has_every_setting_in_its_table_and_no_other() -> None:
    cells = re.findall(r"^\| (`DELIVERY_[^|]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {name for cell in cells for name in names_in(re.findall(r"`(\w+)`", cell))}
    assert named - NO_SETTING == set(all_settings())


def names_in(written: list[str]) -> list[str]:
    """The variables of a row. One that begins with _ goes on from words of the first."""
    words = written[0].split("_")
    prefixes = ["_".join(words[:length]) for length in range(1, len(words))]
    full = {f"{prefix}{name}" for name in written for prefix in prefixes} & set(all_settings())
    return [*full, *(name for name in written if name.startswith("DELIVERY_"))]


COMMANDS = re.compile(r"^ *\$ (?:DELIVERY_\w+=\S+ )*delivery (\S.*)$", re.MULTILINE)
WITH_COMMANDS = [ROOT / name for name in ("README.md", "docs/scale.md", "docs/switch-over.md")]
LINES = [line for path in WITH_COMMANDS for line in COMMANDS.findall(path.read_text())]


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_readme_and_its_options_exist(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("baseline.jsonl").touch()
    name, *rest = line.split()
    command = commands.load(name)
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    with command.make_context(name, rest):  # raises for an option that is not there
        pass
