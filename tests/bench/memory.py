"""Memory that the engine holds, alone on MariaDB, with a hundred definitions: at first, and after many instances."""

import asyncio

import grpc

from mesh.testing.mariadb import running_mariadb
from tests.bench.engine_process import RunningEngine, running_engine
from tests.bench.load import ONE_TASK, deploy, drive, over_grpc
from tests.bench.measuring import ratio_line

DEFINITIONS = 100
WARM, STEP, STEPS = 2_000, 4_000, 4
BUDGET_MEBIBYTES = 250


def run() -> list[str]:
    """Peaks of equal loads one after the other: a leak of a kilobyte for each instance would show as 4 MiB a step."""
    with running_mariadb() as server, running_engine(server.create_database()) as engine:
        return asyncio.run(_measure(engine))


async def _measure(engine: RunningEngine) -> list[str]:
    async with grpc.aio.insecure_channel(engine.grpc) as channel:
        for number in range(DEFINITIONS - 1):
            model = ONE_TASK.replace(b'"oneTask"', f'"other{number}"'.encode())
            await deploy(channel, f"other-{number}.bpmn20.xml", model)
        await deploy(channel, "one-task.bpmn20.xml", ONE_TASK)
        await drive(over_grpc(channel), 64, WARM)
        peaks = []
        for _ in range(STEPS):
            engine.forget_peak()
            await drive(over_grpc(channel), 64, STEP)
            peaks.append(engine.peak_mebibytes())
    shown = ", ".join(f"{peak:.0f}" for peak in peaks)
    return [
        ratio_line(
            "peak memory after many instances against before",
            peaks[-1] / peaks[0],
            f"≤ {BUDGET_MEBIBYTES} MiB, flat",
            f"{shown} MiB in {STEPS} steps of {STEP:,} instances, {DEFINITIONS} definitions",
        )
    ]
