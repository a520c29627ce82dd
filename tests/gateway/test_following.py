"""Which processes get requests as they come, leave, die and return; and that no request is lost by it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from gateway.app.following import Following, Health
from gateway.effects.health import HealthAsker, look_up
from gateway.jobs.follower import Edge, Follower, followed
from gateway.model.snapshot import Endpoint
from gateway.model.targets import Target, read_targets, written
from gateway.settings import FollowSettings
from mesh.testing.ports import free_port
from tests.gateway.edges import opened, sample_snapshot, until
from tests.gateway.sample_process import sample_process
from tests.gateway.sample_service import SampleServer
from tests.gateway.streamed import streamed
from tests.gateway.test_envoy_process import Load

ONE, TWO = Endpoint(address="192.0.2.1", port=1), Endpoint(address="192.0.2.2", port=1)


class World:
    """Names and processes as a test wants them."""

    def __init__(self) -> None:
        self.names: dict[str, Sequence[str]] = {"items": ["192.0.2.1", "192.0.2.2"]}
        self.health: dict[Endpoint, Health] = {}
        self.forgotten: list[Endpoint] = []

    async def look_up(self, host: str) -> Sequence[str]:
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    async def __call__(self, endpoint: Endpoint) -> Health:
        return self.health.get(endpoint, Health.SERVING)

    def forget(self, endpoints: Sequence[Endpoint]) -> None:
        self.forgotten += endpoints

    def following(self, strikes: int = 2) -> Following:
        targets = {"items": [Target(host="items", port=1)]}
        return Following(targets, self.look_up, self, FollowSettings(strikes=strikes))


async def test_those_that_work_are_found_behind_their_name() -> None:
    world = World()
    following = world.following()
    world.health[TWO] = Health.SILENT

    changed, again = await following.look(), await following.look()

    assert following.endpoints == {"items": (ONE,)}
    assert (changed, again) == (True, False)


async def test_a_silent_one_goes_after_its_strikes_and_comes_back_at_its_first_word() -> None:
    world = World()
    following = world.following()
    await following.look()
    world.health[TWO] = Health.SILENT
    seen = []
    for _ in range(3):
        await following.look()
        seen.append(following.endpoints["items"])
    world.health[TWO] = Health.SERVING
    await following.look()

    assert seen == [(ONE, TWO), (ONE,), (ONE,)]
    assert following.endpoints["items"] == (ONE, TWO)


async def test_one_that_leaves_goes_at_once() -> None:
    world = World()
    following = world.following()
    await following.look()
    world.health[ONE] = Health.LEAVING

    await following.look()

    assert following.endpoints["items"] == (TWO,)


async def test_the_last_ones_are_kept_when_nobody_answers() -> None:
    world = World()
    following = world.following(strikes=1)
    world.health[TWO] = Health.SILENT
    await following.look()
    world.health[ONE] = Health.SILENT
    await following.look()

    assert following.endpoints["items"] == (ONE,)


async def test_before_anybody_has_answered_all_of_them_are_tried() -> None:
    world = World()
    world.health = {ONE: Health.SILENT, TWO: Health.SILENT}
    following = world.following()

    await following.look()

    assert following.endpoints["items"] == (ONE, TWO)


async def test_a_name_that_cannot_be_looked_up_keeps_its_last_answer() -> None:
    world = World()
    following = world.following()
    await following.look()
    world.names.clear()

    await following.look()

    assert following.endpoints["items"] == (ONE, TWO)
    assert world.forgotten == []


async def test_what_a_name_stands_for_no_longer_is_forgotten() -> None:
    world = World()
    following = world.following()
    await following.look()
    world.names["items"] = ["192.0.2.2"]

    await following.look()

    assert following.endpoints["items"] == (TWO,)
    assert world.forgotten == [ONE]


def test_targets_are_read_as_people_write_them() -> None:
    targets = read_targets("engine-0.engine:3001, 10.0.0.1:3001,[2001:db8::1]:3001")

    assert [(each.host, each.port) for each in targets] == [
        ("engine-0.engine", 3001),
        ("10.0.0.1", 3001),
        ("2001:db8::1", 3001),
    ]
    assert read_targets(written(targets)) == targets
    assert read_targets("") == ()


@pytest.mark.parametrize("text", ["engine", "engine:", ":3001", "engine:x", "engine:70000"])
def test_a_target_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        read_targets(text)


@contextlib.asynccontextmanager
async def an_edge(directory: Path, manner: str) -> AsyncIterator[tuple[Edge, SampleServer, int]]:
    """An edge by files or over the stream, its first process, and its port."""
    if manner == "files":
        async with opened(directory) as by_files:
            yield by_files.envoy, by_files.server, by_files.port
    else:
        async with streamed(directory, delta=manner == "delta") as over_stream:
            yield over_stream.plane, over_stream.server, over_stream.port


@pytest.mark.envoy
@pytest.mark.parametrize("manner", ["files", "delta", "state-of-the-world"])
async def test_processes_come_leave_die_and_return_under_load_and_no_request_fails(tmp_path: Path, manner: str) -> None:
    ports = [free_port(), free_port()]
    settings = FollowSettings(interval_seconds=0.05, strikes=1, timeout_seconds=5.0)
    asker = HealthAsker(settings.timeout_seconds)
    async with an_edge(tmp_path, manner) as (edge, first, port):
        targets = [Target(host="127.0.0.1", port=each) for each in (first.port, *ports)]
        following = Following({"items": targets}, look_up, asker, settings)
        follower = Follower(following, edge, settings.interval_seconds)
        follower.start()

        async def follows(*wanted: int) -> bool:
            now = edge.snapshot
            assert now is not None
            return {each.port for each in now.clusters[0].endpoints} == set(wanted)

        with sample_process(ports[0], "two") as second:
            async with Load(port) as load:
                await until(lambda: follows(first.port, ports[0]), 60.0)
                # Envoy has asked it, too, when it gets its first request.
                await until(lambda: _serves("two", load), 60.0)
                await first.leave()
                await until(lambda: follows(ports[0]), 60.0)
                await until(lambda: _is_left_alone(first, load))
                await first.stop(5.0)
                await load.more(20)
            with sample_process(ports[1], "three"):
                # A write that is under way in a process that dies may have happened: only reads are sent anew.
                async with Load(port, writes=False) as reads:
                    await until(lambda: follows(*ports), 60.0)
                    await until(lambda: _serves("three", reads), 60.0)
                    await asyncio.to_thread(second.kill)
                    await until(lambda: follows(ports[1]), 60.0)
                    await reads.more(20)
                    await asyncio.to_thread(second.start)
                    await until(lambda: follows(*ports), 60.0)
                    await until(lambda: _serves("two", reads), 60.0)
        await follower.stop()
        await asker.close()

    assert load.failures == []
    assert reads.failures == []
    assert {"one", "two"} <= load.by_server.keys()
    assert {"two", "three"} <= reads.by_server.keys()


async def test_a_snapshot_is_changed_only_where_it_is_followed() -> None:
    snapshot = sample_snapshot(8080, 3001)
    world = World()
    following = world.following()
    await following.look()

    assert followed(snapshot, following).clusters[0].endpoints == (ONE, TWO)
    assert followed(snapshot, Following({}, world.look_up, world, FollowSettings())).clusters == snapshot.clusters


async def _serves(name: str, load: Load) -> bool:
    before = load.by_server.get(name, 0)
    await load.more(10)
    return load.by_server.get(name, 0) > before


async def _is_left_alone(server: SampleServer, load: Load) -> bool:
    seen = len(server.seen)
    await load.more(20)
    return len(server.seen) == seen
