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
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import oracle
import typer
from environment import PARTITIONS, Environment
from faults import FAULTS, FAULTS_OF_A_CLUSTER, FAULTS_OF_A_STANDBY, Scene
from processes import wait_until
from publishers import Publishers
from stream import Sent, stream
from workers import Workers

# About 350 are published meanwhile, 560 with a standby. Once all are published, some come again,
# which shape nothing: then no worker is held within its transaction.
RECORDS_FOR_A_FAULT = 800
WORKERS = 2
SECONDS = 180.0  # for a command that reads the whole topic or the whole database


@dataclass(frozen=True)
class Plan:
    """What a run consists of. The same plan strikes the same faults in the same order."""

    faults: int
    seed: int
    records: int
    brokers: int
    broker_session_timeout_ms: int
    standby: bool

    def __str__(self) -> str:
        return (
            f"scripts/chaos --faults {self.faults} --seed {self.seed} --records {self.records} "
            f"--brokers {self.brokers} --broker-session-timeout "
            f"{self.broker_session_timeout_ms / 1000:g}{' --standby' if self.standby else ''}"
        )


def main(
    faults: Annotated[int, typer.Option(min=0, help="How many.")] = 50,
    seed: Annotated[int | None, typer.Option(help="The same faults again.")] = None,
    records: Annotated[
        int | None, typer.Option(min=1, help="Published at least; 800 for each fault if not given.")
    ] = None,
    brokers: Annotated[int, typer.Option(min=1, help="1, or 3 of which one may fail.")] = 1,
    broker_session_timeout: Annotated[
        float, typer.Option(help="Seconds; of several brokers. 9 is Kafka's default.")
    ] = 9,
    standby: Annotated[
        bool, typer.Option("--standby", help="PostgreSQL has a standby that takes over.")
    ] = False,
) -> None:
    """Strike a service with faults, and prove afterwards that no record was lost or doubled."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    records = records or max(faults, 1) * RECORDS_FOR_A_FAULT
    plan = Plan(faults, seed, records, brokers, round(broker_session_timeout * 1000), standby)
    typer.echo(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        run(folder, plan)
    except BaseException as error:
        traceback.print_exc()
        typer.echo(f"FAILED ({type(error).__name__}). Run it again: {plan}\nlogs: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


def run(folder: Path, plan: Plan) -> None:
    """Raises AssertionError where the guarantee was broken, or a worker ended by itself."""
    begun = time.monotonic()
    struck: Counter[str] = Counter()
    sent = stream(plan.seed, plan.records, PARTITIONS)
    with prepared(folder, plan, sent) as scene:
        scene.await_progress()
        for number, name in enumerate(drawn(plan, scene.rng), 1):
            since = time.monotonic()
            (FAULTS | FAULTS_OF_A_CLUSTER | FAULTS_OF_A_STANDBY)[name](scene)
            scene.await_progress()
            struck[name] += 1
            count = len(scene.publishers.acknowledged)
            took = time.monotonic() - since
            typer.echo(f"{number}/{plan.faults} {name}: {took:.1f} s, {count} records so far")
        wind_down(scene)
        account = judge(scene, sent)
        typer.echo(table(struck, account, time.monotonic() - begun))


def drawn(plan: Plan, rng: random.Random) -> Iterator[str]:
    """The names of so many faults: every kind before any comes again, the special ones first."""
    special = list(FAULTS_OF_A_CLUSTER) if plan.brokers > 1 else []
    special += list(FAULTS_OF_A_STANDBY) if plan.standby else []
    deck: list[str] = []
    for _ in range(plan.faults):
        if not deck:
            deck = rng.sample(list(FAULTS), len(FAULTS))
            deck += rng.sample(special, len(special))
        yield deck.pop()


@contextmanager
def prepared(folder: Path, plan: Plan, sent: list[Sent]) -> Iterator[Scene]:
    """The servers, the publishers and the first workers. At the end all of it is ended."""
    with ExitStack() as ending:
        environment = Environment(
            folder, plan.brokers, plan.broker_session_timeout_ms, plan.standby
        )
        ending.callback(environment.close)
        rng = random.Random(plan.seed)
        workers = Workers(environment, rng)
        ending.callback(workers.close)
        publishers = Publishers(environment.brokers.addresses, sent, plan.seed)
        ending.callback(publishers.give_up)
        publishers.start()
        for _ in range(WORKERS):
            workers.join()
        yield Scene(environment, workers, publishers, rng)


def wind_down(scene: Scene) -> None:
    """What is left is published and consumed, the workers stop, and one of them drains."""
    scene.publishers.finish()
    scene.await_end()
    for number in list(scene.workers.living):
        scene.workers.terminate(number)
    finished(scene, "worker", "--drain", log="drain")


def judge(scene: Scene, sent: list[Sent]) -> oracle.Account:
    """Raises AssertionError unless everything is as it must be."""
    published = oracle.topic(scene.environment, sent)
    oracle.assert_acknowledged(scene.publishers.acknowledged, published)
    assert not any(oracle.lag(scene.environment).values())
    with scene.environment.connected() as connection:
        account = oracle.account(connection, published)
        assert account.is_right, account
        oracle.assert_true(connection, published)
        finished(scene, "verify", log="verify")
        before = oracle.checksums(connection)
        finished(scene, "worker", "--drain", log="replay", kafka_group_id="another")
        assert oracle.checksums(connection) == before, "a replay changed rows"
    return account


def finished(scene: Scene, *arguments: str, log: str, **settings: str) -> None:
    """Runs a command of delivery, which has to say that all is well."""
    process = scene.workers.start(*arguments, log=log, **settings)
    try:
        wait_until(process.has_ended, f"{log} ends", process, seconds=SECONDS)
    finally:
        process.running.kill()
    code = process.running.wait()
    assert code == 0, f"delivery {' '.join(arguments)} ended with {code}:\n{process.stderr()}"


def table(struck: Counter[str], account: oracle.Account, seconds: float) -> str:
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
