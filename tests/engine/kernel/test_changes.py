"""Changing what runs: moving tokens, migrating, suspending, variables from outside."""

from datetime import timedelta

import pytest

from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.kernel.state import TIMER
from engine.kernel.values import variables_of
from tests.engine.kernel.contract import engine_with
from tests.engine.kernel.harness import MemoryEngine, canceled, state_of, tasks_of
from tests.engine.kernel.models import (
    boundary,
    catch,
    end,
    event_sub_process,
    flows,
    loop,
    message,
    messages,
    model,
    signal,
    signals,
    start,
    sub_process,
    timer,
    user_task,
)

NESTED = model(
    start(),
    user_task("before"),
    sub_process("sub", start("s2"), user_task("inner"), user_task("second"), end("e2"), flows("s2>inner>second>e2")),
    boundary("late", "sub", timer("timeDuration", "PT1H")),
    user_task("after"),
    end(),
    flows("s>before>sub>after>e late>after"),
)


def move(engine: MemoryEngine, root_id: str, source: str, target: str) -> None:
    engine.run(root_id, cmd.ChangeState(instance_id=root_id, cancel=[source], start=[target]))
    engine.check_replay()


def test_moving_into_a_scope_opens_it_and_moving_out_closes_it() -> None:
    engine = engine_with(NESTED)
    root_id = engine.start("p").root_id

    move(engine, root_id, "before", "second")
    assert len(engine.rows[root_id].jobs) == 1
    move(engine, root_id, "second", "before")

    assert canceled(engine.history[root_id]) == ["before", "second", "sub"]
    assert engine.rows[root_id].jobs == {}
    assert tasks_of(engine.trees[root_id]) == ["before"]


def test_moving_within_a_scope_keeps_it() -> None:
    engine = engine_with(NESTED)
    tree = engine.start("p")
    engine.complete(tree, "before")

    move(engine, tree.root_id, "inner", "second")

    assert canceled(engine.history[tree.root_id]) == ["inner"]
    engine.complete(tree, "second")
    engine.complete(tree, "after")
    assert state_of(engine.trees[tree.root_id]) == "completed"


@pytest.mark.parametrize(
    ("source", "target", "status"),
    [
        ("after", "before", "FAILED_PRECONDITION"),
        ("nobody", "before", "INVALID_ARGUMENT"),
        ("before", "x", "INVALID_ARGUMENT"),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(source: str, target: str, status: str) -> None:
    engine = engine_with(NESTED)
    root_id = engine.start("p").root_id

    with pytest.raises(Refused) as caught:
        move(engine, root_id, source, target)

    assert caught.value.status == status


def versions(first: str, second: str) -> tuple[MemoryEngine, str]:
    """An instance of the first version, and the second one deployed."""
    engine = engine_with(first)
    root_id = engine.start("p").root_id
    engine.deploy(second)
    return engine, root_id


def migrate(engine: MemoryEngine, root_id: str, **mappings: str) -> None:
    target = engine.definitions.latest("p", "")
    engine.run(root_id, cmd.MigrateInstance(instance_id=root_id, definition_id=target.id, mappings=mappings))
    engine.check_replay()


def test_migration_brings_the_waits_of_the_new_version() -> None:
    listening = event_sub_process("es", start("es1", message("m")), user_task("extra"), flows("es1>extra"))
    engine, root_id = versions(
        model(
            start(), user_task("a"), boundary("old", "a", timer("timeDuration", "PT1H")), end(), flows("s>a>e old>e")
        ),
        model(
            start(),
            user_task("a"),
            boundary("new", "a", message("m")),
            listening,
            end(),
            flows("s>a>e new>e"),
            root=messages("m"),
        ),
    )

    migrate(engine, root_id)

    assert engine.rows[root_id].jobs == {}
    assert sorted(s.element_id for s in engine.rows[root_id].subscriptions.values()) == ["es1", "new"]


def test_migration_into_a_sub_process_and_out_of_it() -> None:
    flat = model(start(), user_task("a"), end(), flows("s>a>e"))
    nested = model(start(), sub_process("x", start("s2"), user_task("a"), flows("s2>a")), end(), flows("s>x>e"))
    engine, root_id = versions(flat, nested)

    migrate(engine, root_id)
    assert sorted(e.element for e in engine.trees[root_id].instances[root_id].executions.values()) == ["a", "x"]
    engine.deploy(flat)
    migrate(engine, root_id)

    assert [e.element for e in engine.trees[root_id].instances[root_id].executions.values()] == ["a"]
    engine.complete(engine.trees[root_id], "a")
    assert state_of(engine.trees[root_id]) == "completed"


def test_a_catch_event_waits_anew_for_what_the_new_version_says() -> None:
    engine, root_id = versions(
        model(start(), catch("c", message("old")), end(), flows("s>c>e"), root=messages("old")),
        model(start(), catch("c", message("new")), end(), flows("s>c>e"), root=messages("new")),
    )

    migrate(engine, root_id)

    assert [s.name for s in engine.rows[root_id].subscriptions.values()] == ["new"]


def test_what_has_no_counterpart_refuses_the_migration_and_validation_says_why() -> None:
    engine, root_id = versions(
        model(start(), user_task("a"), end(), flows("s>a>e")), model(start(), user_task("b"), end(), flows("s>b>e"))
    )
    target = engine.definitions.latest("p", "").id

    reply = engine.reply(root_id, cmd.MigrateInstance(instance_id=root_id, definition_id=target, validate_only=True))
    assert reply == {"messages": ["expected element 'a' in p version 2, found none: map it"]}
    with pytest.raises(Refused) as caught:
        migrate(engine, root_id)
    assert caught.value.status == "FAILED_PRECONDITION"
    with pytest.raises(Refused) as caught:
        migrate(engine, root_id, a="nobody")
    assert caught.value.status == "INVALID_ARGUMENT"

    assert tasks_of(engine.trees[root_id]) == ["a"]


def test_nothing_happens_to_a_suspended_instance() -> None:
    engine = engine_with(model(start(), user_task("a"), end(), flows("s>a>e")))
    tree = engine.start("p")
    task_id = engine.task(tree, "a")
    engine.run(tree.root_id, cmd.SuspendInstance(instance_id=tree.root_id))

    for command in (
        cmd.CompleteTask(task_id=task_id),
        cmd.ClaimTask(task_id=task_id, assignee="kermit"),
        cmd.UpdateTask(task_id=task_id, changes={"name": "b"}),
        cmd.SetVariables(execution_id=tree.root_id, variables=variables_of({"v": 1})),
        cmd.ChangeState(instance_id=tree.root_id, cancel=["a"], start=["a"]),
        cmd.SuspendInstance(instance_id=tree.root_id),
    ):
        with pytest.raises(Refused) as caught:
            engine.run(tree.root_id, command)
        assert caught.value.status == "FAILED_PRECONDITION"


def test_a_variable_larger_than_the_limit_is_refused_by_its_name() -> None:
    engine = engine_with(model(start(), user_task("a"), flows("s>a")))

    with pytest.raises(Refused, match=r"variable 'huge': expected at most .*limit: variable_bytes") as caught:
        engine.start("p", {"huge": "x" * 5_000_000})

    assert caught.value.status == "INVALID_ARGUMENT"


def test_a_loop_without_a_wait_state_is_refused_by_a_named_limit() -> None:
    engine = engine_with(model(start(), '<exclusiveGateway id="g"/><manualTask id="m"/>', flows("s>g>m>g")))

    with pytest.raises(Refused, match="limit: steps"):
        engine.start("p")


def variables_in(engine: MemoryEngine, root_id: str, scope_id: str) -> dict[str, object]:
    return {name: variable.value for name, variable in engine.rows[root_id].variables.get(scope_id, {}).items()}


def test_an_element_that_a_move_starts_has_its_local_variables_from_the_beginning() -> None:
    told = user_task("told", attributes='flowable:assignee="${who}"')
    engine = engine_with(model(start(), user_task("before"), told, end(), flows("s>before>told>e")))
    root_id = engine.start("p").root_id

    engine.run(
        root_id,
        cmd.ChangeState(
            instance_id=root_id, cancel=["before"], start=["told"], local_variables=variables_of({"who": "kermit"})
        ),
    )

    engine.check_replay()
    (task,) = engine.trees[root_id].tasks.values()
    assert task.assignee == "kermit"
    assert variables_in(engine, root_id, task.execution_id) == {"who": "kermit"}
    assert variables_in(engine, root_id, root_id) == {}


def test_the_turns_of_a_loop_that_a_move_starts_see_the_local_variables() -> None:
    engine = engine_with(
        model(start(), user_task("before"), user_task("many", loop("${times}")), end(), flows("s>before>many>e"))
    )
    root_id = engine.start("p").root_id

    engine.run(
        root_id,
        cmd.ChangeState(
            instance_id=root_id, cancel=["before"], start=["many"], local_variables=variables_of({"times": 2})
        ),
    )

    engine.check_replay()
    assert tasks_of(engine.trees[root_id]) == ["many", "many"]


def test_a_migration_sets_the_variables_before_anything_starts_in_the_new_version() -> None:
    told = user_task("b", attributes='flowable:assignee="${who}"')
    engine = engine_with(model(start(), user_task("a"), end(), flows("s>a>e")))
    root_id = engine.start("p").root_id
    (new,) = engine.deploy(model(start(), sub_process("x", start("s2"), told, flows("s2>b")), end(), flows("s>x>e")))

    engine.run(
        root_id,
        cmd.MigrateInstance(
            instance_id=root_id, definition_id=new.id, mappings={"a": "b"}, variables=variables_of({"who": "kermit"})
        ),
    )

    engine.check_replay()
    (task,) = engine.trees[root_id].tasks.values()
    assert (task.element_id, task.assignee) == ("b", "kermit")
    assert variables_in(engine, root_id, root_id) == {"who": "kermit"}


def test_a_start_sets_the_business_status_and_a_tenant_of_its_own_in_its_first_event() -> None:
    engine = engine_with(model(start(), user_task("a"), end(), flows("s>a>e")))

    tree = engine.start("p", business_status="new")
    other = engine.start_definition(engine.definitions.latest("p", ""), tenant_id="acme")

    engine.check_replay()
    assert engine.trees[tree.root_id].instances[tree.root_id].business_status == "new"
    instance = engine.trees[other.root_id].instances[other.root_id]
    assert (instance.tenant_id, [task.tenant_id for task in engine.trees[other.root_id].tasks.values()]) == (
        "acme",
        ["acme"],
    )


@pytest.mark.parametrize("kind", ["message", "signal"])
def test_transient_variables_of_a_delivery_are_seen_until_the_process_waits_again(kind: str) -> None:
    definition = message("go") if kind == "message" else signal("go")
    told = user_task("told", attributes='flowable:assignee="${who}"')
    engine = engine_with(
        model(start(), catch("c", definition), told, end(), flows("s>c>told>e"), root=messages("go") + signals("go"))
    )
    tree = engine.start("p")
    execution_id = engine.waiting(tree, "c").id
    command = cmd.DeliverMessage if kind == "message" else cmd.DeliverSignal

    reply = engine.reply(
        tree.root_id,
        command(execution_id=execution_id, name="go", transient_variables=variables_of({"who": "kermit"})),
    )

    engine.check_replay()
    (task,) = engine.trees[tree.root_id].tasks.values()
    assert task.assignee == "kermit"
    assert variables_in(engine, tree.root_id, tree.root_id) == {}
    if kind == "message":
        assert reply == {"process_instance_id": tree.root_id, "execution_id": execution_id}


@pytest.mark.parametrize("kind", ["parallelGateway", "inclusiveGateway"])
def test_all_that_move_to_a_join_arrive_there(kind: str) -> None:
    join = f'<{kind} id="j"/>'
    fork = '<parallelGateway id="f"/>'
    engine = engine_with(
        model(start(), fork, user_task("a"), user_task("b"), join, user_task("c"), end(), flows("s>f>a>j>c>e f>b>j"))
    )
    tree = engine.start("p")

    engine.run(tree.root_id, cmd.ChangeState(instance_id=tree.root_id, cancel=["a", "b"], start=["j"]))

    engine.check_replay()
    assert tasks_of(engine.trees[tree.root_id]) == ["c"]


@pytest.mark.parametrize(
    ("former", "new", "timers", "names"),
    [
        (timer("timeDuration", "PT1H"), timer("timeDuration", "PT1H"), [13], []),
        (timer("timeDuration", "PT1H"), timer("timeDuration", "PT5H"), [17], []),
        (timer("timeDuration", "PT1H"), signal("x"), [], ["x"]),
        (signal("x"), signal("y"), [], ["y"]),
    ],
)
def test_a_boundary_event_that_means_something_else_waits_anew(
    former: str, new: str, timers: list[int], names: list[str]
) -> None:
    def version(definition: str) -> str:
        content = start() + user_task("u") + boundary("b", "u", definition) + end() + flows("s>u>e b>e")
        return model(content, root=signals("x", "y"))

    engine = engine_with(version(former))
    tree = engine.start("p")
    engine.now += timedelta(minutes=30)
    engine.deploy(version(new))

    newest = engine.definitions.latest("p", "")
    engine.run(tree.root_id, cmd.MigrateInstance(instance_id=tree.root_id, definition_id=newest.id))

    engine.check_replay()
    assert [job.due_at.hour for _, job in engine.jobs(TIMER)] == timers
    assert [row.name for row in engine.rows[tree.root_id].subscriptions.values()] == names
