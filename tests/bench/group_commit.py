"""Group commit against batches of one: the engine alone, twice, on MariaDB with durable commits, in one run."""

import asyncio
from dataclasses import dataclass

import grpc

from mesh.testing.mariadb import running_mariadb
from tests.bench.engine_process import RunningEngine, running_engine
from tests.bench.load import ONE_TASK, Outcome, Starter, deploy, drive, over_grpc
from tests.bench.measuring import Rounds, ratio_line
from tests.mesh_process import cpu_seconds

ROUNDS = 5
MANY, FEW = 2000, 400
BATCH_OF_ONE = {"FLOWLOOM_ENGINE_COMMIT_BATCH_LIMIT": "1"}


@dataclass(frozen=True, slots=True)
class Measured:
    """A load, and the CPU milliseconds that a pair of start and completion took: the engine's and the database's."""

    outcome: Outcome
    engine_ms: float
    database_ms: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two engines."""

    engine: RunningEngine
    channel: grpc.aio.Channel
    database_pid: int

    async def prepare(self) -> None:
        await deploy(self.channel, "one-task.bpmn20.xml", ONE_TASK)
        await drive(over_grpc(self.channel), 16, 300)

    async def measure(self, in_flight: int, pairs: int) -> Measured:
        engine, database = self.engine.cpu_seconds(), cpu_seconds(self.database_pid)
        outcome = await drive(over_grpc(self.channel), in_flight, pairs)
        engine, database = self.engine.cpu_seconds() - engine, cpu_seconds(self.database_pid) - database
        return Measured(outcome, engine / pairs * 1000, database / pairs * 1000)

    async def completions(self, in_flight: int, count: int) -> float:
        """CPU milliseconds of engine and database for a completion, with nothing else going on."""
        starter = Starter(self.channel)
        tasks = await starter.start_many(in_flight, count)
        before = self.engine.cpu_seconds() + cpu_seconds(self.database_pid)
        await starter.complete_many(in_flight, tasks)
        return (self.engine.cpu_seconds() + cpu_seconds(self.database_pid) - before) / count * 1000


def run() -> list[str]:
    """Start and completion at 64 in flight, each engine on a database of its own; then 1 and 256 in flight."""
    with running_mariadb() as server:
        grouped_url, single_url = server.create_database(), server.create_database()
        with running_engine(grouped_url) as grouped, running_engine(single_url, BATCH_OF_ONE) as single:
            return asyncio.run(_compare(grouped, single, server.pid))


async def _compare(grouped: RunningEngine, single: RunningEngine, database_pid: int) -> list[str]:
    async with grpc.aio.insecure_channel(grouped.grpc) as ours, grpc.aio.insecure_channel(single.grpc) as other:
        group, one = Side(grouped, ours, database_pid), Side(single, other, database_pid)
        await group.prepare()
        await one.prepare()
        crowds: list[Measured] = []
        singles: list[Measured] = []
        for _ in range(ROUNDS):
            crowds.append(await group.measure(64, MANY))
            singles.append(await one.measure(64, FEW))
        completions = Rounds(tuple([await group.completions(64, MANY) for _ in range(3)]))
        fast, slow = _rate(crowds), _rate(singles)
        lines = [
            ratio_line(
                "group commit against batches of one, 64 in flight",
                fast.median / slow.median,
                "≥ 4, and ≥ 1,000 instances/s",
                f"{fast.shown('instances/s', 0)} against {slow.shown('instances/s', 0)}",
            ),
            ratio_line(
                "CPU of a start and a completion, batches of one against group commit",
                _cpu(singles).median / _cpu(crowds).median,
                "none",
                f"{_shown_cpu(crowds)} against {_shown_cpu(singles)}",
            ),
            ratio_line(
                "CPU of a completion alone, 64 in flight, against its budget of 1.0 ms",
                completions.median / 1.0,
                "≤ 1",
                f"{completions.shown('ms', 2)}, engine and database together, gRPC included",
            ),
        ]
        for in_flight, pairs in ((1, 300), (256, MANY)):
            found = [await group.measure(in_flight, pairs) for _ in range(3)]
            lines.append(_other_load(in_flight, found, fast))
        return lines


def _other_load(in_flight: int, found: list[Measured], crowd: Rounds) -> str:
    rate = _rate(found)
    start = Rounds(tuple(one.outcome.start_ms for one in found))
    complete = Rounds(tuple(one.outcome.complete_ms for one in found))
    return ratio_line(
        f"unary gRPC, {in_flight} in flight, against 64",
        rate.median / crowd.median,
        "≤ 2.5 ms a call at the median" if in_flight == 1 else "none",
        f"{rate.shown('instances/s', 0)}; start {start.shown('ms', 2)}, complete {complete.shown('ms', 2)}; "
        f"{_shown_cpu(found)}",
    )


def _rate(found: list[Measured]) -> Rounds:
    return Rounds(tuple(one.outcome.pairs_a_second for one in found))


def _cpu(found: list[Measured]) -> Rounds:
    return Rounds(tuple(one.engine_ms + one.database_ms for one in found))


def _shown_cpu(found: list[Measured]) -> str:
    engine = Rounds(tuple(one.engine_ms for one in found)).median
    database = Rounds(tuple(one.database_ms for one in found)).median
    return f"CPU {_cpu(found).shown('ms', 2)} (engine {engine:.2f}, database {database:.2f})"
