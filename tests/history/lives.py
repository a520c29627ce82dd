"""An engine's life of some days, for tests that compare all that history makes of it."""

from datetime import timedelta

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from mesh.clock import ManualClock
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.history.worlds import World

CALLED = bpmn.model(bpmn.start(), bpmn.service("work"), bpmn.end(), bpmn.flows("s>work>e")).replace(
    'id="p"', 'id="called"'
)
CALLS = bpmn.model(
    bpmn.start(),
    bpmn.user_task("review", attributes='flowable:assignee="${boss}" flowable:candidateGroups="frogs"'),
    '<callActivity id="call" calledElement="called"/>',
    bpmn.end(),
    bpmn.flows("s>review>call>e"),
)
LATER = ManualClock(BEGINNING + timedelta(days=40))


def live(world: World, *, count: int = 4, boss: str = "kermit", tenant_id: str = "") -> list[str]:
    """So many instances that come to their end, one that is deleted and one that stays open; returns the first ones."""
    engine = world.engine
    engine.deploy(CALLED, tenant_id=tenant_id)
    engine.deploy(CALLS, tenant_id=tenant_id)
    engine.user_id = boss
    roots = []
    for n in range(count):
        variables = {"boss": boss, "n": n, "secret": f"of {boss}", "paper": b"\x00\xff"}
        tree = engine.start("p", variables, name=f"case {n}", user_id=boss, tenant_id=tenant_id)
        (task,) = tree.tasks.values()
        engine.later(hours=6 * (n + 1))
        said = ev.CommentAdded(
            instance_id=tree.root_id,
            comment_id=f"remark-{tenant_id}-{boss}-{n}",
            task_id=task.id,
            author=boss,
            message="all is well",
            at=engine.now,
            of_instance=bool(n % 2),
        )
        engine.tell(tree.root_id, [said])
        engine.run(tree.root_id, cmd.UpdateTask(task_id=task.id, changes={"owner": boss, "priority": 60 + n}))
        engine.set_variables(tree, n=n + 10)
        engine.complete(tree, "review")
        roots.append(tree.root_id)
    gone = engine.start("p", {"boss": "piggy"}, name="gone", tenant_id=tenant_id)
    engine.run(gone.root_id, cmd.DeleteInstance(instance_id=gone.root_id, reason="no more"))
    return roots
