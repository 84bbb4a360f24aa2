"""Apache Kafka's jars: downloaded once, then found in the user's cache."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from delivery.embedded.processes import locked
from delivery.embedded.unavailable import OWN_SERVERS, extra, one_line
from delivery.errors import EmbeddedUnavailableError

KAFKA = "4.3.1"
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA}", "org.slf4j:slf4j-simple:1.7.36")
DOWNLOAD_MB = 45


def kafka_jars() -> Path:
    """The folder that holds Kafka and all it needs.

    The first call downloads it and shows on stderr how far it is. Raises EmbeddedUnavailableError
    where it can't be had.
    """
    cache: Path = extra("platformdirs").user_cache_path("delivery").absolute()
    jars = cache / f"kafka-{KAFKA}"
    try:
        if not jars.exists():
            with locked(cache):
                _download_unless_another_did(jars)
    except Exception as error:  # requests', the file system's, and jgo's own of several kinds
        raise EmbeddedUnavailableError(
            f"Apache Kafka {KAFKA} can't be downloaded ({one_line(error)}):"
            f" check the network and try again, {OWN_SERVERS}"
        ) from error
    return jars


def _download_unless_another_did(jars: Path) -> None:
    """Download beside, then rename: jgo takes half a file for a whole one the next time."""
    if jars.exists():
        return
    beside = jars.with_name(f"{jars.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "jars").mkdir(parents=True)
    _download(beside)
    (beside / "jars").rename(jars)
    shutil.rmtree(beside, ignore_errors=True)


def _download(folder: Path) -> None:
    console = Console(stderr=True)
    message = f"Downloading Apache Kafka {KAFKA}, about {DOWNLOAD_MB} MB, once, to {folder.parent}"
    console.print(message, highlight=False, soft_wrap=True)
    with Progress(console=console) as progress:
        task = progress.add_task("reading what it needs", total=None)
        artifacts = _resolved(folder / "repository", partial(progress.advance, task))
        progress.update(task, description="downloading", total=DOWNLOAD_MB * 1e6, completed=0)
        for artifact in artifacts:
            shutil.move(artifact.resolve(), folder / "jars")
        progress.update(task, completed=DOWNLOAD_MB * 1e6)


def _resolved(repository: Path, advance: Callable[[int], None]) -> list[Any]:
    """All jars that Kafka needs at run time, not yet downloaded (only their descriptions are)."""
    maven = extra("jgo.maven")

    @contextmanager
    def advancing(filename: str, size: int) -> Iterator[Callable[[int], None]]:
        yield advance

    resolver = maven.PythonResolver(progress_callback=advancing)
    context = maven.MavenContext(resolver=resolver, repo_cache=repository)
    roots, others = resolver.resolve([context.create_dependency(c) for c in COORDINATES])
    needed = [*roots, *(d for d in others if d.scope in ("compile", "runtime"))]
    return [dependency.artifact for dependency in needed]
