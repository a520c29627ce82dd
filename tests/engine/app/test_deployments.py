"""Deploying and deleting, on both databases."""

import asyncio
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.app.archives import DeploymentLimits
from engine.app.definition_changes import ChangeState
from engine.app.definitions import StartTarget
from engine.app.repository import Reply
from engine.kernel.errors import Refused
from engine.kernel.triggers.timer import START_HANDLER
from engine.storage.repository import SqlRepository
from mesh.db.database import DatabaseSettings, open_database
from mesh.db.errors import CommitUnknown
from mesh.errors import Unavailable
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.engine.app.repositories import (
    BEGINNING,
    World,
    bpmn,
    database_at,
    message_start,
    process,
    signal_start,
    sqlite_database,
    timer_start,
    world_on,
)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("MariaDB is not installed")
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "sqlite":
        with sqlite_database() as database:
            yield world_on(database)
    else:
        with database_at(request.getfixturevalue("mariadb").create_database()) as database:
            yield world_on(database)


def archive(*files: tuple[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files:
            opened.writestr(name, data)
    return written.getvalue()


async def refused(world: World, *files: tuple[str, bytes], status: str = "INVALID_ARGUMENT") -> Refused:
    """Deploy, be refused, and find nothing of it."""
    before = {
        table: world.rows(table) for table in ("deployment", "resource", "process_definition", "subscription", "job")
    }
    with pytest.raises(Refused) as found:
        await world.deploy(*files)
    after = {table: world.rows(table) for table in before}
    assert after == before
    assert found.value.status == status
    return found.value


# --- definitions ------------------------------------------------------------------------------------------------------


async def test_every_executable_process_becomes_a_definition(world: World) -> None:
    files = [
        ("a.bpmn20.xml", bpmn(process("one"), process("two"), process("idea", attributes='isExecutable="false"'))),
        ("b.bpmn", bpmn(process("three"))),
    ]

    deployment = await world.deploy(*files, name="All", category="c", key="k", tenant_id="t")

    found = sorted(
        (row["key"], row["version"], row["tenant_id"], row["resource_name"]) for row in world.rows("process_definition")
    )
    assert found == [("one", 1, "t", "a.bpmn20.xml"), ("three", 1, "t", "b.bpmn"), ("two", 1, "t", "a.bpmn20.xml")]
    assert (deployment.name, deployment.category, deployment.key, deployment.tenant_id) == ("All", "c", "k", "t")
    assert world.store.read(lambda reader: reader.deployment(deployment.id)) == deployment


async def test_bytes_come_back_as_they_were_deployed(world: World) -> None:
    model = b"\xef\xbb\xbf" + bpmn(process()).replace(b"\n", b"\r\n") + b"<!-- end -->\r\n"
    other = bytes(range(256)) * 300

    deployment = await world.deploy(("model.bpmn20.xml", model), ("data/x.bin", other))

    for name, data in (("model.bpmn20.xml", model), ("data/x.bin", other)):
        found = world.store.read(lambda reader, name=name: reader.resource(deployment.id, name))  # type: ignore[misc]
        assert found is not None
        assert found.data == data


async def test_a_known_key_gets_the_next_version_of_its_tenant(world: World) -> None:
    await world.deploy_model(bpmn(process()))
    await world.deploy_model(bpmn(process()))
    await world.deploy_model(bpmn(process()), tenant_id="t")

    found = sorted((row["tenant_id"], row["version"]) for row in world.rows("process_definition"))

    assert found == [("", 1), ("", 2), ("t", 1)]


async def test_ids_of_definitions_are_readable_where_they_fit(world: World) -> None:
    await world.deploy_model(bpmn(process("leave"), process("a" * 60)))

    ids = {row["key"]: row["id"] for row in world.rows("process_definition")}

    assert ids["leave"].startswith("leave:1:")
    assert len(ids["a" * 60]) == 36


async def test_deployments_at_the_same_time_get_versions_one_after_another(world: World) -> None:
    other = world_on(world.database)

    await asyncio.gather(*(each.deploy_model(message_start("go")) for each in (world, other) * 5))

    assert sorted(row["version"] for row in world.rows("process_definition")) == list(range(1, 11))
    assert [row["definition_id"] for row in world.rows("subscription")] == [world.definition_id()]


async def test_a_deployment_without_a_model_keeps_its_files(world: World) -> None:
    deployment = await world.deploy(("notes.txt", b"hello"), ("other.xml", b"<broken"))

    assert world.rows("process_definition") == []
    assert world.store.read(lambda reader: reader.resource_names(deployment.id)) == ["notes.txt", "other.xml"]


async def test_an_xml_file_with_a_bpmn_root_is_a_model(world: World) -> None:
    await world.deploy(("leave.xml", bpmn(process())))

    assert [row["key"] for row in world.rows("process_definition")] == ["leave"]


async def test_candidate_starters_become_identity_links(world: World) -> None:
    attributes = 'flowable:candidateStarterUsers="kermit, fozzie" flowable:candidateStarterGroups="managers"'

    await world.deploy_model(bpmn(process(attributes=attributes)))

    links = [(row["owner_id"], row["kind"], row["user_id"], row["group_id"]) for row in world.rows("identity_link")]
    own = world.definition_id()
    assert links == [
        (own, "candidate", "kermit", ""),
        (own, "candidate", "fozzie", ""),
        (own, "candidate", "", "managers"),
    ]


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_a_broken_model_is_refused_with_file_line_and_element(world: World) -> None:
    good, bad = bpmn(process("good")), bpmn("\n" + process().replace('targetRef="task"', 'targetRef="nowhere"'))

    refusal = await refused(world, ("good.bpmn", good), ("bad.bpmn", bad))

    assert refusal.reason == "invalid-model"
    assert refusal.facts == {"resource": "bad.bpmn", "element_id": "in", "line": "5"}
    assert (
        "bad.bpmn: line 5, element 'in': expected targetRef to name a flow element, found 'nowhere'" in refusal.message
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "at least one resource"),
        ([("a.bpmn", bpmn(process("twice"))), ("b.bpmn", bpmn(process("twice")))], "'twice'"),
        ([("a.bpmn", b"<definitions>")], "well-formed"),
        ([("a.bpmn", bpmn(process(attributes='isExecutable="false"')))], "none that is executable"),
        ([("a.txt", b"1"), ("a.txt", b"2")], "'a.txt' twice"),
        ([("", b"1")], "resource name"),
        ([("a.bpmn", timer_start("<timeDate>${soon}</timeDate>"))], "'soon'"),
        ([("a.bpmn", timer_start("<timeDuration>${'x'}</timeDuration>"))], "start event 'start'"),
        ([("a.bpmn", message_start("${none}"))], "'none'"),
        ([("a.bpmn", bpmn(process("k" * 300)))], "at most 255 characters"),
        ([("a.zip", b"no archive")], "readable archive"),
        ([("a.zip", archive(("../x.bpmn", b"")))], "names inside the archive"),
        ([("a.bar", archive(("/etc/x", b"")))], "names inside the archive"),
        ([("a.zip", archive(("c:\\x", b"")))], "names inside the archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_deployed_leaves_nothing_behind(
    world: World, files: list[tuple[str, bytes]], said: str
) -> None:
    assert said in (await refused(world, *files)).message


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ([("a.zip", archive(("big", b"0" * 5000)))], "deployment_bytes"),
        ([("a.zip", archive(*((f"{n}.txt", b"") for n in range(5))))], "deployment_files"),
        ([(f"{n}.txt", b"") for n in range(5)], "deployment_files"),
        ([("a", b"0" * 600), ("b", b"0" * 600)], "deployment_bytes"),
    ],
)
async def test_a_deployment_beyond_a_limit_is_refused_by_its_name(files: list[tuple[str, bytes]], limit: str) -> None:
    with sqlite_database() as database:
        world = world_on(database, DeploymentLimits(deployment_files=4, deployment_bytes=1000))

        refusal = await refused(world, *files, status="RESOURCE_EXHAUSTED")

    assert refusal.facts == {"limit": limit}


async def test_an_archive_is_unpacked(world: World) -> None:
    data = archive(("processes/leave.bpmn20.xml", bpmn(process())), ("readme.txt", b"hi"), ("empty/", b""))

    deployment = await world.deploy(("all.zip", data))

    names = world.store.read(lambda reader: reader.resource_names(deployment.id))
    assert names == ["processes/leave.bpmn20.xml", "readme.txt"]
    assert [row["resource_name"] for row in world.rows("process_definition")] == ["processes/leave.bpmn20.xml"]


# --- the same again ---------------------------------------------------------------------------------------------------


async def test_a_duplicate_is_the_old_deployment_if_that_is_asked_for(world: World) -> None:
    first = await world.deploy_model(bpmn(process()), name="leave", skip_duplicate=True)

    same = await world.deploy_model(bpmn(process()), name="leave", skip_duplicate=True)
    changed = await world.deploy_model(bpmn(process(attributes="")), name="leave", skip_duplicate=True)
    elsewhere = await world.deploy_model(bpmn(process()), name="leave", tenant_id="t", skip_duplicate=True)
    unasked = await world.deploy_model(bpmn(process(attributes="")), name="leave")

    assert same == first
    assert len({first.id, changed.id, elsewhere.id, unasked.id}) == 4


async def test_a_repeated_request_gets_the_first_answer(world: World) -> None:
    first = await world.deploy_model(bpmn(process()), request_id="r1")
    again = await world.deploy_model(bpmn(process()), request_id="r1")

    await world.deployments.delete(first.id, cascade=False, request_id="r2")
    await world.deployments.delete(first.id, cascade=False, request_id="r2")

    assert again == first
    assert world.rows("deployment") == []


async def test_a_request_id_of_another_request_is_refused(world: World) -> None:
    deployment = await world.deploy_model(bpmn(process()))
    await world.deployments.delete(deployment.id, cascade=False, request_id="r")

    with pytest.raises(Refused, match="another request") as found:
        await world.deploy_model(bpmn(process()), request_id="r")

    assert found.value.status == "INVALID_ARGUMENT"


class LosesOneAnswer(SqlRepository):
    """Commits its first write, whose answer then gets lost."""

    lost = False

    def _write(self, *arguments: object) -> Reply:
        reply = super()._write(*arguments)  # type: ignore[arg-type]
        if not self.lost:
            self.lost = True
            raise CommitUnknown("gone")
        return reply


async def test_a_commit_whose_answer_is_lost_happens_once(world: World) -> None:
    store = LosesOneAnswer(world.database, now=world.clock.now, new_id=world.store._new_id)
    world.deployments._store = store

    deployment = await world.deploy_model(bpmn(process()))

    assert [row["id"] for row in world.rows("deployment")] == [deployment.id]
    assert [row["version"] for row in world.rows("process_definition")] == [1]


async def test_a_request_id_that_is_too_long_is_refused(world: World) -> None:
    with pytest.raises(Refused) as found:
        await world.deploy_model(bpmn(process()), request_id="r" * 129)

    assert found.value.status == "INVALID_ARGUMENT"
    assert world.rows("deployment") == []


async def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    database = open_database(DatabaseSettings(url=f"sqlite:///{tmp_path / 'nowhere' / 'engine.db'}"))
    world = world_on(database)

    with pytest.raises(Unavailable):
        await world.deploy_model(bpmn(process()))
    with pytest.raises(Unavailable):
        await world.definitions.resolve_start(key="leave")


# --- start events -----------------------------------------------------------------------------------------------------


async def test_a_message_start_moves_to_the_new_version(world: World) -> None:
    await world.deploy_model(message_start("go"))
    await world.deploy_model(message_start("go"))

    (row,) = world.rows("subscription")

    assert (row["kind"], row["name"], row["element_id"]) == ("message", "go", "start")
    assert (row["instance_id"], row["root_id"], row["execution_id"]) == ("", "", "")
    assert row["definition_id"] == world.definition_id()
    assert row["definition_id"].startswith("leave:2:")


async def test_a_message_starts_one_process_of_a_tenant(world: World) -> None:
    await world.deploy_model(message_start("go"))

    refusal = await refused(world, ("other.bpmn", message_start("go", "other")))
    within = await refused(world, ("a.bpmn", message_start("new", "a")), ("b.bpmn", message_start("new", "b")))
    await world.deploy_model(message_start("go", "other"), tenant_id="t")

    assert refusal.reason == within.reason == "message-start-taken"
    assert "'go'" in refusal.message
    assert sorted(row["tenant_id"] for row in world.rows("subscription")) == ["", "t"]


async def test_a_message_is_free_again_when_the_new_version_does_without(world: World) -> None:
    await world.deploy_model(message_start("go"))
    await world.deploy_model(bpmn(process()))

    await world.deploy_model(message_start("go", "other"))

    assert [row["definition_id"] for row in world.rows("subscription")] == [world.definition_id("other")]


async def test_a_signal_may_start_several_processes(world: World) -> None:
    await world.deploy(("a.bpmn", signal_start("alarm", "a")), ("b.bpmn", signal_start("alarm", "b")))

    rows = [(row["kind"], row["name"], row["definition_id"]) for row in world.rows("subscription")]

    assert sorted(rows) == sorted(("signal", "alarm", world.definition_id(key)) for key in "ab")


async def test_a_timer_start_is_a_job_that_counts_from_the_deployment(world: World) -> None:
    await world.deploy_model(timer_start("<timeCycle>R3/PT5M</timeCycle>"))
    world.clock.advance(BEGINNING.replace(hour=13) - BEGINNING)
    await world.deploy_model(timer_start("<timeDuration>${'PT'.concat('10M')}</timeDuration>"))

    (row,) = world.rows("job")

    assert (row["kind"], row["handler"], row["lane"], row["element_id"]) == ("timer", START_HANDLER, "engine", "start")
    assert (row["root_id"], row["instance_id"], row["repeat"], row["retries"]) == ("", "", "", 3)
    assert row["due_at"] == row["available_at"] == BEGINNING.replace(hour=13, minute=10)
    assert row["definition_id"] == world.definition_id()


async def test_deleting_the_newest_version_gives_the_start_events_back(world: World) -> None:
    await world.deploy_model(message_start("old"))
    newest = await world.deploy_model(timer_start("<timeDuration>PT1H</timeDuration>"))

    await world.deployments.delete(newest.id, cascade=False)

    assert world.rows("job") == []
    (row,) = world.rows("subscription")
    assert (row["name"], row["definition_id"]) == ("old", world.definition_id())
    assert row["definition_id"].startswith("leave:1:")


async def test_deleting_an_older_version_leaves_the_start_events_alone(world: World) -> None:
    oldest = await world.deploy_model(message_start("old"))
    await world.deploy_model(message_start("new"))

    await world.deployments.delete(oldest.id, cascade=False)

    assert [row["name"] for row in world.rows("subscription")] == ["new"]


async def test_a_deletion_is_refused_where_the_older_version_could_not_start_any_more(world: World) -> None:
    await world.deploy_model(message_start("go"))
    newest = await world.deploy_model(bpmn(process()))
    await world.deploy_model(message_start("go", "other"))

    with pytest.raises(Refused, match="take its start events back") as found:
        await world.deployments.delete(newest.id, cascade=False)

    assert found.value.status == "FAILED_PRECONDITION"
    assert world.definition_id().startswith("leave:2:")


async def test_a_restored_start_timer_rests_if_its_version_is_suspended(world: World) -> None:
    await world.deploy_model(timer_start("<timeDuration>PT1H</timeDuration>"))
    await world.changes.change_state(ChangeState(definition_id=world.definition_id(), suspend=True))
    newest = await world.deploy_model(bpmn(process()))

    await world.deployments.delete(newest.id, cascade=False)

    assert [(row["lane"], bool(row["suspended"])) for row in world.rows("job")] == [("suspended", True)]


# --- deleting ---------------------------------------------------------------------------------------------------------


async def test_a_deletion_takes_everything_of_the_definitions_along(world: World) -> None:
    attributes = 'flowable:candidateStarterUsers="kermit"'
    timer = timer_start("<timeDuration>PT1H</timeDuration>")
    deployment = await world.deploy_model(timer.replace(b'name="Leave"', attributes.encode()))
    assert len(world.rows("identity_link")) == len(world.rows("job")) == 1

    await world.deployments.delete(deployment.id, cascade=False)

    for table in ("deployment", "resource", "process_definition", "job", "subscription", "identity_link"):
        assert world.rows(table) == []


async def test_a_deployment_with_instances_is_deleted_only_with_cascade(world: World) -> None:
    deployment = await world.deploy_model(bpmn(process()))
    await world.deploy_model(bpmn(process("other")))
    own = world.definition_id()
    caller = world.instances.add(world.definition_id("other"))
    kept = world.instances.add(world.definition_id("other"))
    for _ in range(300):
        world.instances.add(own)
    world.instances.add(own, root_id=caller)

    with pytest.raises(Refused) as found:
        await world.deployments.delete(deployment.id, cascade=False)
    remaining = len(world.instances.states())
    await world.deployments.delete(deployment.id, cascade=True, user_id="kermit")

    assert (found.value.status, found.value.reason, remaining) == ("FAILED_PRECONDITION", "deployment-in-use", 303)
    assert list(world.instances.states()) == [kept]
    assert {command.user_id for command in world.instances.commands} == {"kermit"}
    assert [row["key"] for row in world.rows("process_definition")] == ["other"]


async def test_an_unknown_deployment_is_not_found(world: World) -> None:
    for cascade in (False, True):
        with pytest.raises(Refused) as found:
            await world.deployments.delete("nobody", cascade=cascade)
        assert found.value.status == "NOT_FOUND"


async def test_a_deleted_definition_cannot_be_started(world: World) -> None:
    deployment = await world.deploy_model(bpmn(process()))
    definition_id = world.definition_id()
    assert await world.definitions.resolve_start(key="leave") == StartTarget(definition_id)

    await world.deployments.delete(deployment.id, cascade=False)

    for target in ({"key": "leave"}, {"definition_id": definition_id}):
        with pytest.raises(Refused) as found:
            await world.definitions.resolve_start(**target)  # type: ignore[arg-type]
        assert found.value.status == "NOT_FOUND"
