"""Configuration over a stream, in both dialects, with a real Envoy: changes under load, refusals, a plane that dies."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app.control_plane import RefusedError
from gateway.app.generator import UnsoundSnapshotError
from gateway.model.snapshot import Listener
from gateway.settings import Limits
from mesh.testing.ports import free_port
from tests.gateway.edges import MAX_BODY_BYTES, status_of_get, until
from tests.gateway.sample_service import SERVICE, SampleServer
from tests.gateway.streamed import StreamedEdge, streamed
from tests.gateway.test_envoy_process import Load, cluster_on

pytestmark = pytest.mark.envoy

ITEM = "/process-api/items/7"
DIALECTS = pytest.mark.parametrize("delta", [True, False], ids=["delta", "state-of-the-world"])


@DIALECTS
async def test_changes_over_the_stream_lose_no_request(tmp_path: Path, delta: bool) -> None:
    async with streamed(tmp_path, delta=delta) as edge:
        second = SampleServer(free_port(), "two")
        await second.start()
        sound = edge.snapshot
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
                await edge.plane.apply(snapshot)
            await load.more(40)
        await second.stop()

        assert load.failures == []
        assert load.by_server.keys() == {"one", "two"}
        assert edge.plane.refusals == 0
        assert edge.envoy.restarts == 0


@DIALECTS
async def test_a_refused_configuration_is_told_loudly_and_the_old_one_serves_on(
    tmp_path: Path, delta: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with streamed(tmp_path, delta=delta) as edge:
        before = edge.snapshot
        # The address is nobody's on this machine, which only Envoy can find out.
        elsewhere = replace(before, listener=Listener(address="127.0.0.1", port=edge.plane_server.port))

        async with Load(edge.port) as load:
            await load.more(20)
            with caplog.at_level(logging.ERROR), pytest.raises(RefusedError, match="bind"):
                await edge.plane.apply(elsewhere)
            await load.more(20)
            await edge.plane.apply(replace(before, cors_origins=()))
            await load.more(20)

        assert load.failures == []
        assert any("refuses" in record.message and "listeners" in record.message for record in caplog.records)


async def test_an_unsound_snapshot_is_not_published(tmp_path: Path) -> None:
    async with streamed(tmp_path, delta=True) as edge:
        before = edge.snapshot

        with pytest.raises(UnsoundSnapshotError):
            await edge.plane.apply(replace(before, clusters=(cluster_on(),)))

        assert edge.snapshot is before
        assert await status_of_get(edge.client, ITEM) == 200


@DIALECTS
async def test_envoy_serves_on_without_a_control_plane_and_takes_what_the_next_one_says(
    tmp_path: Path, delta: bool
) -> None:
    async with streamed(tmp_path, delta=delta) as edge:
        second = SampleServer(free_port(), "two")
        await second.start()
        before = edge.snapshot
        async with Load(edge.port) as load:
            await load.more(20)
            await edge.plane_server.stop()
            await load.more(40)
            await edge.plane_server.start(replace(before, clusters=(cluster_on(second.port),)))
            await until(lambda: _served_by(edge, "two"), 30.0)
        await second.stop()

        assert load.failures == []


async def test_a_changed_cluster_gets_its_endpoints_again(tmp_path: Path) -> None:
    """Otherwise Envoy would hold it back until it gives up waiting for them, 15 s later."""
    async with streamed(tmp_path, delta=True) as edge:
        changed = replace(edge.snapshot, limits=Limits(max_body_bytes=MAX_BODY_BYTES, connect_seconds=0.7))

        async with asyncio.timeout(10.0):
            await edge.plane.apply(changed)
            await until(lambda: _has_no_warming_cluster(edge))

        assert await status_of_get(edge.client, ITEM) == 200


async def test_envoy_accepts_the_bootstrap_of_the_stream(tmp_path: Path) -> None:
    async with streamed(tmp_path, delta=True) as edge:
        assert "OK" in await edge.envoy.validate()


async def _served_by(edge: StreamedEdge, name: str) -> bool:
    return (await edge.client.get(ITEM)).json().get("name") == name


async def _has_no_warming_cluster(edge: StreamedEdge) -> bool:
    admin = edge.envoy.admin_url
    stats = (await edge.client.get(f"{admin}/stats", params={"filter": "warming_clusters"})).text
    return stats.strip().endswith(": 0")
