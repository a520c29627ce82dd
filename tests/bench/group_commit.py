"""Group commit against batches of one: the same engine twice on MariaDB with durable commits, in one run."""

import asyncio

import grpc

from mesh.testing.mariadb import running_mariadb
from tests.bench.load import ONE_TASK, Outcome, deploy, drive, over_grpc
from tests.bench.measuring import Rounds, ratio_line
from tests.mesh_process import RunningMesh, cpu_seconds, running_mesh

ROUNDS = 5
BATCH_OF_ONE = {"FLOWLOOM_ENGINE_COMMIT_BATCH_LIMIT": "1", "FLOWLOOM_ENGINE_COMMIT_WRITERS": "1"}


def run() -> list[str]:
    """Start and completion at 64 in flight, each engine on a database of its own; then 1 and 256 in flight."""
    with running_mariadb() as server:
        grouped_url, single_url = server.create_database(), server.create_database()
        with (
            running_mesh(database_url=grouped_url) as grouped,
            running_mesh(database_url=single_url, environment=BATCH_OF_ONE) as single,
        ):
            return asyncio.run(_compare(grouped, single, server.pid))


async def _compare(grouped: RunningMesh, single: RunningMesh, database_pid: int) -> list[str]:
    async with grpc.aio.insecure_channel(grouped.grpc) as ours, grpc.aio.insecure_channel(single.grpc) as other:
        for channel in (ours, other):
            await deploy(channel, "one-task.bpmn20.xml", ONE_TASK)
            await drive(over_grpc(channel), 16, 300)
        many: list[Outcome] = []
        one: list[Outcome] = []
        cpu = 0.0
        for _ in range(ROUNDS):
            before = grouped.cpu_seconds() + cpu_seconds(database_pid)
            many.append(await drive(over_grpc(ours), 64, 2000))
            cpu += grouped.cpu_seconds() + cpu_seconds(database_pid) - before
            one.append(await drive(over_grpc(other), 64, 400))
        fast, slow = (Rounds(tuple(o.pairs_a_second for o in found)) for found in (many, one))
        lines = [
            ratio_line(
                "group commit against batches of one, 64 in flight",
                fast.median / slow.median,
                "≥ 4, and ≥ 1,000 instances/s",
                f"{fast.shown('instances/s', 0)} against {slow.shown('instances/s', 0)}; both calls together cost "
                f"{cpu / (ROUNDS * 2000) * 1000:.2f} ms of CPU (engine, history and database)",
            )
        ]
        for in_flight, pairs in ((1, 300), (256, 2000)):
            found = [await drive(over_grpc(ours), in_flight, pairs) for _ in range(3)]
            rate = Rounds(tuple(o.pairs_a_second for o in found))
            start, complete = (Rounds(tuple(getattr(o, name) for o in found)) for name in ("start_ms", "complete_ms"))
            lines.append(
                ratio_line(
                    f"unary gRPC, {in_flight} in flight, against 64",
                    rate.median / fast.median,
                    "≤ 2.5 ms a call at the median for 1 in flight" if in_flight == 1 else "none",
                    f"{rate.shown('instances/s', 0)}; start {start.shown('ms', 2)}, complete {complete.shown('ms', 2)}",
                )
            )
        return lines
