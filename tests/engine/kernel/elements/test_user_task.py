"""Tests of user task elements."""

from datetime import timedelta

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, tasks_of
from tests.engine.kernel.models import end, flows, model, start, user_task


class TestUserTask(WaitingContract):
    content = start() + user_task("x") + end() + flows("s>x>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)


def test_every_attribute_may_be_an_expression() -> None:
    attributes = (
        'flowable:assignee="${who}" flowable:owner="${who}" flowable:priority="${7}" flowable:dueDate="${\'P1D\'}" '
        'flowable:category="${who}" flowable:formKey="form-${who}" flowable:candidateUsers="${people}, gonzo" '
        'flowable:candidateGroups="sales, ${\'a,b\'}" flowable:taskIdVariableName="taskId"'
    )
    task = f'<userTask id="x" name="For ${{who}}" {attributes}><documentation>About ${{who}}</documentation></userTask>'
    engine = engine_with(model(start(), task, flows("s>x")))

    tree = engine.start("p", {"who": "kermit", "people": ["fozzie", "piggy"]})

    (found,) = tree.tasks.values()
    assert (found.name, found.description, found.assignee, found.owner) == (
        "For kermit",
        "About kermit",
        "kermit",
        "kermit",
    )
    assert (found.priority, found.category, found.form_key) == (7, "kermit", "form-kermit")
    assert found.due_at == engine.now + timedelta(days=1)
    assert [group for _, _, _, group in tree.links[found.id] if group] == ["sales", "a", "b"]
    assert [user for _, _, user, _ in tree.links[found.id] if user] == ["fozzie", "piggy", "gonzo"]
    assert tree.variables[tree.root_id]["taskId"].value == found.id


def test_a_custom_resource_gives_links_of_its_own_type() -> None:
    resource = (
        '<flowable:customResource flowable:name="watcher"><resourceAssignmentExpression>'
        "<formalExpression>user(${who}), group(sales), team</formalExpression>"
        "</resourceAssignmentExpression></flowable:customResource>"
    )
    task = user_task("x", f"<extensionElements>{resource}</extensionElements>", 'flowable:candidateUsers="gonzo"')
    engine = engine_with(model(start(), task, flows("s>x")))

    tree = engine.start("p", {"who": "kermit"})

    (found,) = tree.tasks.values()
    links = [(kind, user, group) for _, kind, user, group in tree.links[found.id]]
    assert links == [
        ("candidate", "gonzo", ""),
        ("watcher", "", "sales"),
        ("watcher", "", "team"),
        ("watcher", "kermit", ""),
    ]


def test_a_custom_resource_without_a_name_is_refused() -> None:
    task = user_task("x", "<extensionElements><flowable:customResource/></extensionElements>")

    with pytest.raises(InvalidModel, match="element 'x': expected a name on the customResource"):
        engine_with(model(start(), task, flows("s>x")))


def test_text_whose_expression_fails_stays_as_written_but_a_due_date_refuses() -> None:
    engine = engine_with(model(start(), '<userTask id="x" name="For ${nobody}"/>', flows("s>x")))
    assert tasks_of(engine.start("p")) == ["For ${nobody}"]

    engine = engine_with(model(start(), user_task("x", attributes='flowable:dueDate="${nobody}"'), flows("s>x")))
    with pytest.raises(Refused, match="element 'x'"):
        engine.start("p")


def test_task_listeners_hear_of_assignment_creation_completion_and_deletion() -> None:
    def listener(event: str) -> str:
        call = f"${{execution.setVariable('heard', heard.concat('{event} '))}}"
        return f'<flowable:taskListener event="{event}" expression="{call}"/>'

    listeners = "".join(map(listener, ("create", "assignment", "complete", "delete")))
    task = user_task("x", f"<extensionElements>{listeners}</extensionElements>", 'flowable:assignee="kermit"')
    engine = engine_with(model(start(), task, user_task("after"), flows("s>x>after")))
    tree = engine.start("p", {"heard": ""})

    engine.complete(tree, "x")

    heard = engine.trees[tree.root_id].variables[tree.root_id]["heard"].value
    assert heard == "assignment create complete delete "


def test_a_java_listener_is_refused_at_deployment() -> None:
    listener = (
        '<extensionElements><flowable:taskListener event="create" class="org.example.Listener"/></extensionElements>'
    )

    with pytest.raises(
        InvalidModel, match="element 'x': expected an expression or a script in a taskListener, found Java"
    ):
        engine_with(model(start(), user_task("x", listener), flows("s>x")))


def test_who_delegates_gets_the_task_back() -> None:
    engine = engine_with(model(start(), user_task("x", attributes='flowable:assignee="boss"'), end(), flows("s>x>e")))
    tree = engine.start("p")
    task_id = engine.task(tree, "x")

    engine.run(tree.root_id, cmd.DelegateTask(task_id=task_id, assignee="helper"))
    with pytest.raises(Refused, match="found it delegated"):
        engine.complete(tree, "x")
    engine.run(tree.root_id, cmd.ResolveTask(task_id=task_id))

    found = engine.trees[tree.root_id].tasks[task_id]
    assert (found.assignee, found.owner, found.delegation) == ("boss", "boss", "resolved")


def test_only_one_user_can_claim_a_task() -> None:
    engine = engine_with(model(start(), user_task("x"), end(), flows("s>x>e")))
    tree = engine.start("p")
    task_id = engine.task(tree, "x")
    engine.run(tree.root_id, cmd.ClaimTask(task_id=task_id, assignee="kermit"))

    with pytest.raises(Refused, match="claimed by 'kermit'"):
        engine.run(tree.root_id, cmd.ClaimTask(task_id=task_id, assignee="fozzie"))

    engine.run(tree.root_id, cmd.ClaimTask(task_id=task_id, assignee=""))
    assert engine.trees[tree.root_id].tasks[task_id].assignee == ""
