"""A run: records are published and consumed, faults strike, and at the end all must be true."""

import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import reckoning
import typer
from crew import Crew
from faults import FAULTS, Scene
from ground import PARTITIONS, Ground
from processes import wait_until
from publishers import Publishers
from stream import Sent, stream

RECORDS_FOR_A_FAULT = 500  # about 350 are published meanwhile; republished ones shape nothing
WORKERS = 2
SECONDS = 180.0  # for a command that reads the whole topic or the whole database


def main(
    faults: Annotated[int, typer.Option(min=0, help="How many.")] = 50,
    seed: Annotated[int | None, typer.Option(help="The same faults again.")] = None,
    records: Annotated[
        int | None, typer.Option(min=1, help="Published at least; 300 for each fault if not given.")
    ] = None,
) -> None:
    """Strike a service with faults, and prove afterwards that no record was lost or doubled."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    records = records or max(faults, 1) * RECORDS_FOR_A_FAULT
    typer.echo(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        run(folder, faults, seed, records)
    except BaseException as error:
        traceback.print_exc()
        again = f"scripts/chaos --faults {faults} --seed {seed} --records {records}"
        typer.echo(f"FAILED ({type(error).__name__}). Run it again: {again}\nlogs: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


def run(folder: Path, faults: int, seed: int, records: int) -> None:
    """Raises AssertionError where the guarantee was broken, or a worker ended by itself."""
    begun = time.monotonic()
    struck: Counter[str] = Counter()
    sent = stream(seed, records, PARTITIONS)
    with on_stage(folder, seed, sent) as scene:
        scene.await_progress()
        for number, name in enumerate(drawn(faults, scene.some), 1):
            since = time.monotonic()
            FAULTS[name](scene)
            scene.await_progress()
            struck[name] += 1
            count = len(scene.publishers.acknowledged)
            took = time.monotonic() - since
            typer.echo(f"{number}/{faults} {name}: {took:.1f} s, {count} records so far")
        in_peace(scene)
        account = reckon(scene, sent)
        typer.echo(table(struck, account, time.monotonic() - begun))


def drawn(faults: int, some: random.Random) -> Iterator[str]:
    """The names of so many faults: every kind before any comes again."""
    deck: list[str] = []
    for _ in range(faults):
        deck = deck or some.sample(list(FAULTS), len(FAULTS))
        yield deck.pop()


@contextmanager
def on_stage(folder: Path, seed: int, sent: list[Sent]) -> Iterator[Scene]:
    """The servers, the publishers and the first workers. At the end all of it is ended."""
    with ExitStack() as ending:
        ground = Ground(folder)
        ending.callback(ground.close)
        some = random.Random(seed)
        crew = Crew(ground, some)
        ending.callback(crew.close)
        publishers = Publishers(ground.broker.bootstrap_servers, sent, seed)
        ending.callback(publishers.give_up)
        publishers.start()
        for _ in range(WORKERS):
            crew.join()
        yield Scene(ground, crew, publishers, some)


def in_peace(scene: Scene) -> None:
    """What is left is published and consumed, the workers stop, and one of them drains."""
    scene.publishers.finish()
    scene.await_end()
    for number in list(scene.crew.living):
        scene.crew.terminate(number)
    finished(scene, "worker", "--drain", log="drain")


def reckon(scene: Scene, sent: list[Sent]) -> reckoning.Account:
    """Raises AssertionError unless everything is as it must be."""
    published = reckoning.topic(scene.ground, sent)
    reckoning.assert_acknowledged(scene.publishers.acknowledged, published)
    assert not any(reckoning.lag(scene.ground).values())
    with scene.ground.connected() as connection:
        account = reckoning.account(connection, published)
        assert account.is_right, account
        reckoning.assert_true(connection, published)
        finished(scene, "verify", log="verify")
        before = reckoning.checksums(connection)
        finished(scene, "worker", "--drain", log="replay", kafka_group_id="another")
        assert reckoning.checksums(connection) == before, "a replay changed rows"
    return account


def finished(scene: Scene, *arguments: str, log: str, **settings: str) -> None:
    """Runs a command of delivery, which has to say that all is well."""
    process = scene.crew.start(*arguments, log=log, **settings)
    try:
        wait_until(process.has_ended, f"{log} ends", process, seconds=SECONDS)
    finally:
        process.running.kill()
    code = process.running.wait()
    assert code == 0, f"delivery {' '.join(arguments)} ended with {code}:\n{process.stderr()}"


def table(struck: Counter[str], account: reckoning.Account, seconds: float) -> str:
    """What a run has to show, in Markdown."""
    rows = [
        *sorted(struck.items()),
        ("**faults**", struck.total()),
        ("records", account.records),
        ("of them dead letters", account.dead_letters),
        ("lost", len(account.lost)),
        ("doubled", len(account.doubled)),
        ("wall time in s", round(seconds)),
    ]
    lines = [f"| {name} | {number:,} |" for name, number in rows]
    return "\n".join(["| what | number |", "|---|---|", *lines])


if __name__ == "__main__":
    typer.run(main)
