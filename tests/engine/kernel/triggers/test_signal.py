"""Signals: to everybody who waits, inside the tree at once and elsewhere by deliveries."""

from engine.kernel import commands as cmd
from engine.kernel.state import ASYNC, Tree
from tests.engine.kernel.contract import ElementContract, WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, state_of, tasks_of, waiting_at
from tests.engine.kernel.models import (
    boundary,
    catch,
    document,
    end,
    event_sub_process,
    flows,
    model,
    process,
    signal,
    signals,
    start,
    sub_process,
    throw,
    user_task,
)


class TestSignalCatch(WaitingContract):
    content = start() + catch("x", signal("go")) + end() + flows("s>x>e")
    root = signals("go")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        del tree
        engine.broadcast("go")


class TestSignalThrow(ElementContract):
    content = start() + throw("x", signal("go")) + end() + flows("s>x>e")
    root = signals("go")


CATCHER = process(start(), catch("c", signal("go")), user_task("after"), flows("s>c>after"), key="catcher")
THROWER = process(start("ts"), throw("t", signal("go")), end("te"), flows("ts>t>te"), key="thrower")


def test_a_thrown_signal_reaches_every_waiting_instance() -> None:
    engine = engine_with(document(CATCHER, THROWER, root=signals("go")))
    waiting = [engine.start("catcher") for _ in range(2)]

    engine.start("thrower")

    engine.check_replay()
    assert [tasks_of(engine.trees[t.root_id]) for t in waiting] == [["after"], ["after"]]


def test_a_suspended_instance_lets_a_signal_pass() -> None:
    engine = engine_with(document(CATCHER, THROWER, root=signals("go")))
    tree = engine.start("catcher")
    engine.run(tree.root_id, cmd.SuspendInstance(instance_id=tree.root_id))

    engine.start("thrower")

    assert waiting_at(engine.trees[tree.root_id]) == ["c"]


def test_a_signal_of_instance_scope_stays_inside() -> None:
    engine = engine_with(document(CATCHER, THROWER, root=signals("go", attributes='flowable:scope="processInstance"')))
    tree = engine.start("catcher")

    engine.start("thrower")
    engine.broadcast("go")

    assert waiting_at(engine.trees[tree.root_id]) == ["c"]


def test_a_signal_thrown_on_one_branch_interrupts_the_other_in_the_same_command() -> None:
    engine = engine_with(
        model(
            start(),
            '<parallelGateway id="f"/><parallelGateway id="j"/>',
            throw("t", signal("go")),
            sub_process("sub", start("s2"), user_task("a"), flows("s2>a")),
            boundary("b", "sub", signal("go")),
            '<exclusiveGateway id="m"/>',
            end(),
            flows("s>f>sub>m>j>e b>m f>t>j"),
            root=signals("go"),
        )
    )

    tree = engine.start("p")

    engine.check_replay()
    # The throw event is reached before the sub-process's inside, but after its boundary event was armed.
    assert state_of(tree) == "completed"


def test_a_last_path_that_throws_what_its_own_scope_waits_for_does_not_strand_the_scope() -> None:
    engine = engine_with(
        model(
            start(),
            throw("t", signal("go")),
            flows("s>t"),
            event_sub_process(
                "es", start("es1", signal("go"), 'isInterrupting="false"'), user_task("extra"), flows("es1>extra")
            ),
            root=signals("go"),
        )
    )

    tree = engine.start("p")

    assert tasks_of(tree) == ["extra"]
    engine.complete(tree, "extra")
    engine.check_replay()
    assert state_of(engine.trees[tree.root_id]) == "completed"


LATER = '<signalEventDefinition signalRef="signal-x" flowable:async="true"/>'


def test_an_asynchronous_signal_is_received_by_a_job_of_each_receiver() -> None:
    thrower = process(start(), throw("t", LATER), user_task("thrown"), end(), flows("s>t>thrown>e"), key="thrower")
    catcher = process(start(), catch("c", signal("x")), user_task("got"), end(), flows("s>c>got>e"), key="catcher")
    engine = engine_with(document(thrower, catcher, root=signals("x")))
    caught = engine.start("catcher")

    thrown = engine.start("thrower")

    assert tasks_of(engine.trees[thrown.root_id]) == ["thrown"]
    assert tasks_of(engine.trees[caught.root_id]) == []
    assert [job.element_id for _, job in engine.jobs(ASYNC)] == ["c"]
    engine.run_jobs()
    engine.check_replay()
    assert tasks_of(engine.trees[caught.root_id]) == ["got"]


def test_an_asynchronous_signal_comes_too_late_for_who_waits_no_more() -> None:
    work = user_task("work") + boundary("b", "work", signal("x"))
    engine = engine_with(
        model(
            start(),
            '<parallelGateway id="f"/>',
            work,
            user_task("go"),
            throw("t", LATER),
            user_task("after"),
            end(),
            flows("s>f>work>e f>go>t>after b>e"),
            root=signals("x"),
        )
    )
    tree = engine.start("p")

    engine.complete(tree, "go")
    engine.complete(tree, "work")

    engine.run_jobs()
    engine.check_replay()
    assert engine.jobs(ASYNC) == []
    assert tasks_of(engine.trees[tree.root_id]) == ["after"]
