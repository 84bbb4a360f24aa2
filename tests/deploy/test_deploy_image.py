"""The image: what the Dockerfile says is so, and the health check that it holds works."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deployment
from deployment import FOLDER, ROOT, TEXTS


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's lines, each with its continuations and without comments."""
    text = re.sub(r"^#.*\n", "", TEXTS["deploy/Dockerfile"], flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word
    ]


def of(word: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == word]


def test_the_image_starts_the_command_itself_so_that_signals_reach_it() -> None:
    (entry,) = of("ENTRYPOINT")
    (script,) = json.loads(entry)
    assert script in pyproject()["project"]["scripts"]


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    user, group = of("USER")[-1].split(":")
    for pod in deployment.pods().values():
        context = pod["securityContext"]
        assert (str(context["runAsUser"]), str(context["runAsGroup"])) == (user, group)
    assert int(user) > 0
    assert f"useradd --uid {user} " in of("RUN")[-1]


def copied() -> set[str]:
    """What the Dockerfile takes from the checkout."""
    lines = [line.split() for line in of("COPY") if not line.startswith("--from")]
    return {source for *sources, _ in lines for source in sources}


def test_what_the_image_copies_exists_and_reaches_the_builder() -> None:
    ignored = TEXTS["deploy/Dockerfile.dockerignore"].splitlines()
    let_through = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert copied() == let_through
    assert [path for path in let_through if not (ROOT / path).exists()] == []


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_image_copies_all_that_the_wheel_is_built_from() -> None:
    project, wheel = (
        pyproject()["project"],
        pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"],
    )
    needed = {project["readme"], *project["license-files"], *wheel["packages"]}
    assert needed | wheel["force-include"].keys() | {"pyproject.toml"} <= copied()


def test_the_image_installs_nothing_but_files_whose_hashes_are_known() -> None:
    (install,) = (run for run in of("RUN") if "pip install" in run)
    libraries, ours = install.split("pip install")[1:]
    assert {"--require-hashes", "--only-binary"} <= set(libraries.split())
    assert "--no-deps" in ours


# The container's own check


class Answer(http.server.BaseHTTPRequestHandler):
    """A worker's /healthz with the status that its server has."""

    def do_GET(self) -> None:
        status = self.server.status if self.path == "/healthz" else 404  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int) -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.status = status  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def health(port: int | str) -> int:
    return subprocess.run(
        [sys.executable, FOLDER / "healthcheck.py"],
        env=os.environ | {"DELIVERY_METRICS_PORT": str(port), "http_proxy": "http://127.0.0.1:1"},
        stderr=subprocess.DEVNULL,
        timeout=30,
        check=False,
    ).returncode


def test_a_container_is_as_healthy_as_its_worker_says() -> None:
    with answering(200) as port:
        assert health(port) == 0
    with answering(503) as port:
        assert health(port) == 1
    assert health(port) == 1  # nobody answers there any more


def test_a_container_without_a_metrics_port_has_nothing_to_ask() -> None:
    assert health("") == 0


def test_the_image_checks_with_the_file_it_has() -> None:
    (check,) = of("HEALTHCHECK")
    _, path = json.loads(check.partition("CMD ")[2])
    assert f"deploy/healthcheck.py {path}" in of("COPY")
    assert Path(path).is_relative_to("/opt/delivery")


def test_each_label_says_something_or_is_given_at_the_build() -> None:
    """The names are those of the Open Container Initiative's image specification."""
    image = (FOLDER / "Dockerfile").read_text().rpartition("\nARG ")[2]
    given = {
        f"${{{argument}}}" for argument in re.findall(r"(\w+)=(?:\s|$)", image.splitlines()[0])
    }
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', image))
    assert {value for value in labels.values() if value.startswith("$")} == given
    assert {"title", "description", "licenses", "version", "revision", "created"} < labels.keys()
