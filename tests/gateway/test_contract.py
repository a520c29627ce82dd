"""The real contract through a real Envoy: every REST binding reaches its own RPC."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway.effects.config_files import ConfigFiles
from gateway.model.contract import Binding, Contract
from gateway.service import Endpoint, GatewaySettings, edge_snapshot, open_edge, read_contract
from mesh.testing.ports import free_port
from tests.gateway.edges import client_of

DESCRIPTORS = Path(__file__).parents[2] / "generated" / "flowloom" / "descriptors.pb"


class EchoOfPaths(grpc.GenericRpcHandler):
    """Answers every RPC with an error that tells which RPC it was."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method

        async def refuse(requests: AsyncIterator[bytes], context: Any) -> None:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, path)

        # Health is asked of the servicer that is registered after this handler.
        if path.startswith("/grpc.health."):
            return None
        return grpc.stream_stream_rpc_method_handler(refuse)


def real_contract() -> Contract:
    return read_contract(DESCRIPTORS.read_bytes())


def owners(contract: Contract) -> set[str]:
    """The parts of the mesh that have services in the contract, by their folders."""
    return {service.split(".")[1] for service in contract.services if service.startswith("flowloom.")}


def example(binding: Binding) -> str:
    """A path that matches the binding."""
    return re.sub(r"\*+", "x1", binding.matched.split(" ", 1)[1])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def answers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    """For each binding of the contract, which RPC answered."""
    contract = real_contract()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((EchoOfPaths(),))
    serving = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(serving, server)
    await serving.set("", health_pb2.HealthCheckResponse.SERVING)
    endpoint = Endpoint(address="127.0.0.1", port=server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    settings = GatewaySettings(port=free_port(), config_directory=str(tmp_path_factory.mktemp("edge")))
    edge = open_edge(settings, edge_snapshot(settings, contract, {owner: [endpoint] for owner in owners(contract)}))
    try:
        await edge.start()
        async with client_of(settings.port) as client:
            reached = {}
            for method in contract.methods:
                for binding in method.bindings:
                    content = b"{}" if binding.body else None
                    answer = await client.request(binding.verb, example(binding), content=content)
                    reached[f"{method.path} {binding.matched}"] = f"{answer.status_code} {answer.json()['exception']}"
            yield reached
    finally:
        await edge.drain_and_stop()
        await server.stop(None)


def test_the_contract_can_be_served() -> None:
    endpoints = [Endpoint(address="127.0.0.1", port=3001)]

    snapshot = edge_snapshot(GatewaySettings(), real_contract(), {"engine": endpoints, "history": endpoints})

    assert snapshot.check() == ()
    assert set(snapshot.services.values()) == {"engine", "history"}


def test_what_has_no_address_is_not_routed() -> None:
    endpoints = [Endpoint(address="127.0.0.1", port=3001)]

    snapshot = edge_snapshot(GatewaySettings(), real_contract(), {"history": endpoints})

    assert snapshot.check() == ()
    assert set(snapshot.services.values()) == {"history"}
    assert (snapshot.reflection_cluster, snapshot.health_cluster) == ("", "")


def test_the_settings_start_without_any(tmp_path: Path) -> None:
    endpoints = [Endpoint(address="127.0.0.1", port=3001)]

    ConfigFiles(tmp_path).write_all(edge_snapshot(GatewaySettings(), real_contract(), {"engine": endpoints}))

    assert (tmp_path / "lds.json").exists()


@pytest.mark.envoy
@pytest.mark.asyncio(loop_scope="module")
async def test_every_rest_binding_reaches_its_own_rpc(answers: dict[str, str]) -> None:
    wrong = {asked: got for asked, got in answers.items() if got != f"409 {asked.split()[0]}"}

    assert wrong == {}
    assert len(answers) > 100
