"""REST through Envoy against direct gRPC: the same mesh, the same pair of calls, in turns."""

import asyncio

import grpc

from mesh.testing.mariadb import running_mariadb
from tests.bench.load import ONE_TASK, Outcome, RestClient, deploy, drive, over_grpc, over_rest
from tests.bench.measuring import Rounds, ratio_line
from tests.mesh_process import RunningMesh, running_mesh

ROUNDS = 5


def run() -> list[str]:
    with running_mariadb() as server, running_mesh(database_url=server.create_database(), edge=True) as mesh:
        return asyncio.run(_compare(mesh))


async def _compare(mesh: RunningMesh) -> list[str]:
    client = RestClient(mesh.rest)
    async with grpc.aio.insecure_channel(mesh.grpc) as channel:
        await deploy(channel, "one-task.bpmn20.xml", ONE_TASK)
        rest, direct = over_rest(client), over_grpc(channel)
        await drive(rest, 32, 200)
        await drive(direct, 32, 200)
        crowd = [(await drive(rest, 32, 800), await drive(direct, 32, 800)) for _ in range(ROUNDS)]
        alone = [(await drive(rest, 1, 100), await drive(direct, 1, 100)) for _ in range(ROUNDS)]
    client.close()
    return [_throughput(crowd), _latency(alone)]


def _throughput(rounds: list[tuple[Outcome, Outcome]]) -> str:
    rest, direct = (Rounds(tuple(pair[i].pairs_a_second for pair in rounds)) for i in (0, 1))
    details = f"{rest.shown('instances/s', 0)} against {direct.shown('instances/s', 0)}, 32 in flight"
    return ratio_line("REST through Envoy against direct gRPC", rest.median / direct.median, "≥ 0.6", details)


def _latency(rounds: list[tuple[Outcome, Outcome]]) -> str:
    rest, direct = (Rounds(tuple(pair[i].start_ms for pair in rounds)) for i in (0, 1))
    details = f"start {rest.shown('ms', 2)} against {direct.shown('ms', 2)}: {rest.median - direct.median:+.2f} ms"
    return ratio_line("the same, one in flight, latency", rest.median / direct.median, "+ ≤ 1 ms", details)
