"""What is installed beside our own code: versions pinned, files known, licences listed."""

import re
import tomllib

import pytest
from deployment import ROOT

NAME = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(.*)$")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(text: str) -> dict[str, str]:
    found = (NAME.match(line) for line in text.splitlines())
    return {canonical(match[1]): match[2] for match in found if match}


REQUIREMENTS = (ROOT / "deploy" / "requirements.txt").read_text()
INSTALLED = versions(REQUIREMENTS)
ELSEWHERE = {"colorama", "httpx2-jsfetch"}  # on Windows, and in a browser
LICENCES = dict(
    re.findall(
        r"^\| ([a-z].*?) \| \S+ \| (.+) \|$", (ROOT / "docs/licences.md").read_text(), re.MULTILINE
    )
)


def test_the_image_has_the_versions_that_were_tested() -> None:
    pinned = versions((ROOT / "constraints.txt").read_text())
    assert {n: v for n, v in INSTALLED.items() if n not in ELSEWHERE}.items() <= pinned.items()


def test_each_package_of_the_image_has_hashes() -> None:
    packages = re.split(r"^(?=[A-Za-z])", REQUIREMENTS, flags=re.MULTILINE)[1:]
    assert len(packages) == len(INSTALLED)
    assert all("--hash=sha256:" in package for package in packages)


@pytest.mark.parametrize("extra", [None, "web", "login", "msk", "otel"])
def test_each_dependency_is_among_them(extra: str | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    names = {canonical(re.split(r"[\[<>=;]", requirement)[0]) for requirement in wanted}
    assert names <= INSTALLED.keys()


def test_each_package_s_licence_is_listed() -> None:
    assert INSTALLED.keys() - ELSEWHERE == {canonical(name) for name in LICENCES} - {"package"}
