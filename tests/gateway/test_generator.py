"""The generator: the same snapshot, the same resources, for files and for the stream."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.app.generator import Resources, UnsoundSnapshotError, discovery_response, generate, version_of
from gateway.app.sources import FileSource, StreamSource
from gateway.effects.config_files import ConfigFiles
from gateway.model.snapshot import Cluster, Endpoint
from tests.gateway.edges import sample_snapshot
from tests.gateway.sample_service import SERVICE, sample_contract

FILES = FileSource(directory="/edge")


def made(**changes: Any) -> Resources:
    return generate(replace(sample_snapshot(8080, 3001), **changes), FILES)


def routes_of(resources: Resources) -> list[dict[str, Any]]:
    (table,) = resources.routes
    routes: list[dict[str, Any]] = table["virtual_hosts"][0]["routes"]
    return routes


def filters_of(resources: Resources) -> list[dict[str, Any]]:
    manager = resources.listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]
    filters: list[dict[str, Any]] = manager["http_filters"]
    return filters


def route_to(resources: Resources, rpc: str) -> dict[str, Any]:
    for route in routes_of(resources):
        if route["match"] in ({"path": f"/{SERVICE}/{rpc}"}, {"prefix": f"/{SERVICE}/"}):
            return route["route"]  # type: ignore[no-any-return]
    raise AssertionError(rpc)


def test_the_same_snapshot_gives_the_same_version() -> None:
    assert version_of(made().listeners) == version_of(made().listeners)
    assert version_of(made().routes) != version_of(made(cors_origins=()).routes)


def test_other_endpoints_change_no_other_resource() -> None:
    one = made()
    two = made(clusters=(Cluster(name="items", endpoints=(Endpoint(address="127.0.0.1", port=4),)),))

    assert (one.listeners, one.routes, one.clusters) == (two.listeners, two.routes, two.clusters)
    assert one.endpoints != two.endpoints


def test_the_stream_carries_the_same_with_the_descriptors_inside() -> None:
    streamed = generate(sample_snapshot(8080, 3001), StreamSource())

    assert streamed.routes == made().routes
    (transcoder,) = (part for part in filters_of(streamed) if part["name"].endswith("grpc_json_transcoder"))
    content = transcoder["typed_config"]["proto_descriptor_bin"]
    assert base64.b64decode(content) == sample_contract().descriptors
    assert streamed.clusters[0]["eds_cluster_config"]["eds_config"]["ads"] == {}
    assert json.loads(json.dumps(discovery_response(streamed.clusters)))["version_info"]


def test_filters_stand_in_the_order_that_works() -> None:
    assert [part["name"].rsplit(".", 1)[-1] for part in filters_of(made())] == [
        "strip_headers",
        "cors",
        "health_check",
        "grpc_web",
        "brotli",
        "gzip",
        "body_size_limit",
        "rest_script",
        "grpc_json_transcoder",
        "note_rpc",
        "router",
    ]


def test_reads_are_retried_after_any_reset_and_writes_only_before_they_arrived() -> None:
    reads, writes = route_to(made(), "Get"), route_to(made(), "Create")

    assert reads["retry_policy"]["retry_on"].split(",") == [
        "connect-failure",
        "refused-stream",
        "reset-before-request",
        "reset",
        "unavailable",
    ]
    assert writes["retry_policy"]["retry_on"] == "connect-failure,refused-stream"


def test_arrays_are_routed_as_the_short_calls_that_they_are() -> None:
    assert route_to(made(), "Changes") == route_to(made(), "Get")


def test_streams_have_no_longest_duration_and_unary_calls_have() -> None:
    assert "max_stream_duration" not in route_to(made(), "Watch")
    assert route_to(made(), "Create")["max_stream_duration"] == {
        "max_stream_duration": "5s",
        "grpc_timeout_header_max": "120s",
    }


def test_an_unsound_snapshot_gives_nothing() -> None:
    with pytest.raises(UnsoundSnapshotError) as refused:
        made(clusters=())

    assert len(refused.value.problems) == 3


def test_files_are_complete_and_old_ones_go(tmp_path: Path) -> None:
    files = ConfigFiles(tmp_path)
    (tmp_path / "contract-0000.pb").write_bytes(b"old")
    (tmp_path / "eds-gone.json").write_text("{}")

    files.write_all(sample_snapshot(8080, 3001))

    names = sorted(path.name for path in tmp_path.iterdir())
    contract = f"contract-{sample_contract().digest}.pb"
    assert names == ["bootstrap.json", "cds.json", contract, "eds-items.json", "lds.json", "rds.json"]
    assert (tmp_path / contract).read_bytes() == sample_contract().descriptors


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    files = ConfigFiles(tmp_path)
    files.write_all(sample_snapshot(8080, 3001))
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}

    files.write_all(sample_snapshot(8080, 3002))

    after = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["eds-items.json"]


def test_the_admin_interface_stays_on_loopback(tmp_path: Path) -> None:
    files = ConfigFiles(tmp_path)
    files.write_all(sample_snapshot(8080, 3001))

    address = json.loads(files.bootstrap_path.read_text())["admin"]["address"]["socket_address"]
    assert address == {"address": "127.0.0.1", "port_value": 0}
