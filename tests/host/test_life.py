"""The life of a mesh: readiness, draining under load, restarting on what it had."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import grpc
import httpx
import pytest
from flowloom.engine.v1 import runtime_service_pb2, runtime_service_pb2_grpc, task_service_pb2, task_service_pb2_grpc
from flowloom.history.v1 import history_service_pb2, history_service_pb2_grpc

from tests.bench.load import ONE_TASK, deploy, drive, over_grpc
from tests.mesh_process import running_mesh

CLIENTS = 8
START_SECONDS = 60


@contextmanager
def mesh_in(folder: Path, *, edge: bool = False) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """A mesh on the data of a folder, as `flowloom up` runs it."""
    announce = folder / "addresses.json"
    announce.unlink(missing_ok=True)
    command = [sys.executable, "-m", "host", "up", "--port", "0", "--quiet", "--data-directory", str(folder)]
    command += ["--announce", str(announce)] + ([] if edge else ["--no-edge"])
    with (folder / "mesh.log").open("ab") as log:
        # This is about the life of a mesh: nobody logs in.
        environment = {**os.environ, "FLOWLOOM_ACCESS_MODE": "off"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not announce.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)  # another process announces by a file; there is nothing to wait on
        assert announce.exists(), (folder / "mesh.log").read_text()[-3000:]
        yield process, json.loads(announce.read_text())
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def _until(happened: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110 - the clients only count
            await asyncio.sleep(0.02)


async def test_a_terminated_mesh_answers_every_request_that_it_took(tmp_path: Path) -> None:
    answered: list[str] = []
    codes: list[grpc.StatusCode] = []
    with mesh_in(tmp_path) as (process, addresses):
        async with grpc.aio.insecure_channel(addresses["grpc"]) as channel:
            await deploy(channel, "one-task.bpmn20.xml", ONE_TASK)
            runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)

            async def client(name: int) -> None:
                for number in count():
                    request = runtime_service_pb2.StartProcessInstanceRequest(
                        process_definition_key="oneTask", business_key=f"{name}-{number}"
                    )
                    try:
                        await runtime.StartProcessInstance(request)
                    except grpc.aio.AioRpcError as error:
                        codes.append(error.code())
                        return
                    answered.append(request.business_key)

            clients = [asyncio.create_task(client(name)) for name in range(CLIENTS)]
            await _until(lambda: len(answered) > 50)
            process.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)

        code = await asyncio.to_thread(process.wait, 30)

    assert code == 0
    # CANCELLED is how gRPC itself turns away a call that it has taken off the wire and given to nobody.
    assert set(codes) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert await _business_keys(tmp_path) == set(answered)


async def _business_keys(folder: Path) -> set[str]:
    """The keys of all instances that a mesh on the folder's data has."""
    with mesh_in(folder) as (_, addresses):
        async with grpc.aio.insecure_channel(addresses["grpc"]) as channel:
            runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
            request = runtime_service_pb2.ListProcessInstancesRequest(size=10_000)
            return {found.business_key for found in (await runtime.ListProcessInstances(request)).data}


@pytest.mark.envoy
async def test_a_terminated_mesh_answers_every_rest_request_that_it_took(tmp_path: Path) -> None:
    answered: list[str] = []
    unanswered: list[str] = []
    refused: list[str] = []
    with mesh_in(tmp_path, edge=True) as (process, addresses):
        async with grpc.aio.insecure_channel(addresses["grpc"]) as channel:
            await deploy(channel, "one-task.bpmn20.xml", ONE_TASK)

        async def client(rest: httpx.AsyncClient, name: int) -> None:
            for number in count():
                key = f"{name}-{number}"
                body = {"processDefinitionKey": "oneTask", "businessKey": key}
                try:
                    answer = await rest.post("/process-api/runtime/process-instances", json=body)
                except (httpx.ConnectError, httpx.ReadError):
                    unanswered.append(key)  # the port is closed, or closed before the connection was accepted
                    return
                if answer.status_code != httpx.codes.CREATED:
                    refused.append(f"{answer.status_code} {answer.text}")
                answered.append(key)

        async with httpx.AsyncClient(base_url=addresses["rest"], trust_env=False, timeout=30) as rest:
            clients = [asyncio.create_task(client(rest, name)) for name in range(CLIENTS)]
            await _until(lambda: len(answered) > 50)
            process.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)

        code = await asyncio.to_thread(process.wait, 30)

    assert code == 0
    assert refused == []
    assert await _business_keys(tmp_path) == set(answered)
    assert len(unanswered) == CLIENTS


async def test_a_restarted_mesh_has_everything_that_it_had(tmp_path: Path) -> None:
    with mesh_in(tmp_path) as (process, addresses):
        async with grpc.aio.insecure_channel(addresses["grpc"]) as channel:
            await deploy(channel, "one-task.bpmn20.xml", ONE_TASK)
            await drive(over_grpc(channel), 4, 20)
            started = await runtime_service_pb2_grpc.RuntimeServiceStub(channel).StartProcessInstance(
                runtime_service_pb2.StartProcessInstanceRequest(process_definition_key="oneTask", business_key="kept")
            )
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)

    with mesh_in(tmp_path) as (_, addresses):
        async with grpc.aio.insecure_channel(addresses["grpc"]) as channel:
            tasks = task_service_pb2_grpc.TaskServiceStub(channel)
            found = await tasks.ListTasks(task_service_pb2.ListTasksRequest(process_instance_id=started.id))
            await tasks.CompleteTask(task_service_pb2.CompleteTaskRequest(task_id=found.data[0].id))
            history = history_service_pb2_grpc.HistoryServiceStub(channel)

            async def completed() -> int:
                request = history_service_pb2.ListHistoricProcessInstancesRequest(finished=True, size=100)
                return len((await history.ListHistoricProcessInstances(request)).data)

            async with asyncio.timeout(20):
                while await completed() < 21:  # noqa: ASYNC110 - history catches up by itself
                    await asyncio.sleep(0.05)


def test_readiness_and_metrics_are_served_on_a_port_of_their_own(tmp_path: Path) -> None:
    with mesh_in(tmp_path) as (_, addresses):
        base = f"http://{addresses['metrics']}"

        assert httpx.get(f"{base}/ready", trust_env=False).status_code == httpx.codes.OK
        assert "grpc_server_handled_total" in httpx.get(f"{base}/metrics", trust_env=False).text


def test_a_wrong_setting_keeps_the_mesh_from_starting_and_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "host", "up", "--no-edge", "--data-directory", str(tmp_path)]

    done = subprocess.run(
        command,
        env={**os.environ, "FLOWLOOM_ENGINE_COMMIT_BATCH_LIMITS": "7"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "FLOWLOOM_ENGINE_COMMIT_BATCH_LIMITS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mesh_on_a_folder_of_its_own_starts_in_a_few_seconds() -> None:
    with running_mesh() as mesh:
        assert mesh.grpc
