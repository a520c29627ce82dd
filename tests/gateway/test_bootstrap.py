"""What operators start an Envoy with, and what the real contract makes of the edge: accepted by Envoy itself."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import flowloom
import pytest

from gateway.app.generator import Discovery, streamed_bootstrap
from gateway.effects.envoy_process import EnvoyProcess, find_envoy
from gateway.service import Endpoint, GatewaySettings, edge_snapshot, read_contract
from gateway.settings import RateSettings
from mesh.testing.ports import free_port
from tests.gateway.edges import until

PAGE = Path(__file__).parents[2] / "envoy" / "bootstrap-stream.json"
DESCRIPTORS = Path(flowloom.__path__[0], "descriptors.pb").read_bytes()
SERVICES = ("engine", "identity", "forms", "notify", "history", "gateway")


def generated() -> str:
    """The file, from the generator."""
    found = streamed_bootstrap(
        Discovery(host="gateway", port=3006), node_id="edge", max_connections=10_000, admin_port=9901
    )
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def test_the_bootstrap_for_operators_is_the_generators() -> None:
    assert PAGE.read_text() == generated()


@pytest.mark.envoy
def test_envoy_accepts_it() -> None:
    checked = subprocess.run([find_envoy(), "--mode", "validate", "-c", PAGE], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr
    assert '"address": "127.0.0.1"' in PAGE.read_text().split('"bootstrap_extensions"')[0]


@pytest.mark.envoy
async def test_envoy_accepts_the_edge_of_the_real_contract_with_everything_on(tmp_path: Path) -> None:
    settings = GatewaySettings(
        port=free_port(),
        config_directory=str(tmp_path),
        cors_origins=("https://console.example",),
        rates=RateSettings(redis_url="redis://127.0.0.1:1", local_reads_per_second=1000, local_writes_per_second=1000),
    )
    nobody = [Endpoint(address="127.0.0.1", port=free_port())]
    contract = read_contract(DESCRIPTORS)
    snapshot = edge_snapshot(
        settings, contract, dict.fromkeys(SERVICES, nobody), issuer="flowloom", audience="flowloom"
    )
    envoy = EnvoyProcess(tmp_path, snapshot)
    assert "OK" in await envoy.validate()

    # Only a running Envoy looks at listeners and routes. It cannot fetch keys here, so it is asked what it has refused.
    open_edge = EnvoyProcess(tmp_path, replace(snapshot, access=None))
    await open_edge.start()
    try:
        await open_edge.apply(snapshot)
        await until(open_edge.ready)
    finally:
        await open_edge.drain_and_stop()
