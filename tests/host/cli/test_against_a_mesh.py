"""The command line against a real mesh, through the edge's port."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from typer.testing import CliRunner

from host.cli.application import app
from host.demo.mesh import MeshOptions, running_mesh

SECONDS: Final = 60.0
MODELS: Final = Path(__file__).parents[2] / "conformance" / "corpus" / "models" / "own"


PASSWORD: Final = "the administrator of this test"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A mesh whose administrator is logged in, in a home of its own."""
    options = MeshOptions(environment={"FLOWLOOM_IDENTITY_ADMIN_PASSWORD": PASSWORD})
    with pytest.MonkeyPatch.context() as patched, running_mesh(tmp_path_factory.mktemp("mesh"), options) as mesh:
        patched.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("home")))
        target = mesh.rest.removeprefix("http://")
        assert flowloom(target, "login", "admin", "--password", PASSWORD).exit_code == 0
        yield target


def flowloom(target: str, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "--target", target])


def machine(target: str, *words: str) -> Any:
    result = flowloom(target, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.envoy
def test_a_process_goes_from_deployment_to_its_end(target: str) -> None:
    model = str(MODELS / "expense.bpmn20.xml")
    assert "expense version 1" in flowloom(target, "deploy", model).output
    assert [each["key"] for each in machine(target, "definitions")["data"]] == ["expense"]

    words = ("start", "expense", "-v", "amount=250", "-v", "due=null", "--business-key", "b", "--user", "lin")
    instance = machine(target, *words)
    assert instance["state"] == "active"
    assert instance["id"] in flowloom(target, "instances", "--business-key", "b").output

    (task,) = machine(target, "tasks", "--candidate-group", "audit")["data"]
    assert flowloom(target, "claim", task["id"], "ada").output == f"ada has {task['id']}\n"
    refused = flowloom(target, "claim", task["id"], "bob")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: task-")
    assert refused.stderr.count("\n") == 1

    assert flowloom(target, "complete", task["id"]).exit_code == 0
    (task,) = machine(target, "tasks", "--assignee", "grace")["data"]
    assert flowloom(target, "complete", task["id"], "-v", "ok=true").exit_code == 0

    assert machine(target, "instances")["data"] == []
    assert machine(target, "check")["consistent"]


@pytest.mark.envoy
def test_what_the_mesh_refuses_is_one_line(target: str) -> None:
    unknown = flowloom(target, "start", "nothing-of-that-name")
    broken = flowloom(target, "deploy", str(MODELS / "dangling.bpmn20.xml"))

    for result in (unknown, broken):
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
    assert "nobodyIsHere" in broken.stderr


@pytest.mark.envoy
def test_a_message_that_was_sent_over_rest_is_in_the_log_and_can_be_resent(target: str) -> None:
    note = {"channel": "mail", "address": "kermit@pond.example", "subject": "Hello", "text": "There"}
    answer = httpx.post(f"http://{target}/notify-api/notifications", json=note, auth=("admin", PASSWORD))
    (delivery,) = answer.json()["deliveries"]
    sent = _log(target, lambda newest: newest["state"] == "sent")

    assert answer.status_code == 201
    assert (sent["id"], sent["address"], sent["subject"]) == (delivery["id"], "kermit@pond.example", "Hello")
    assert flowloom(target, "notifications", "resend", delivery["id"]).output == f"{delivery['id']} is sent again\n"
    again = _log(target, lambda newest: newest["state"] == "sent" and newest.get("resends") == 1)
    assert again["messageId"] != sent["messageId"]
    refused = flowloom(target, "notifications", "cancel", delivery["id"])
    assert refused.stderr.startswith("error: delivery-not-waiting")
    assert "Hello" in flowloom(target, "notifications", "list", "--state", "sent").output


def _log(target: str, holds: Callable[[Any], bool]) -> Any:
    """The newest delivery, once it is as it should be."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        newest, *_ = machine(target, "notifications", "list")["data"]
        if holds(newest):
            return newest
        time.sleep(0.05)
    raise AssertionError(f"expected another log within {SECONDS} s, found {newest}")


@pytest.mark.envoy
def test_history_is_read_counted_searched_and_rebuilt_over_rest_and_by_command(target: str) -> None:
    flowloom(target, "deploy", str(MODELS / "expense.bpmn20.xml"))
    words = ("start", "expense", "-v", "amount=250", "-v", "due=null", "--business-key", "hist-1", "--user", "lin")
    instance = machine(target, *words)["id"]
    (task,) = machine(target, "tasks", "--instance", instance)["data"]
    rest = f"http://{target}/process-api"
    edge = httpx.Client(auth=("admin", PASSWORD), timeout=SECONDS)
    said = edge.post(f"{rest}/runtime/tasks/{task['id']}/comments", json={"message": "a nice one"})
    assert said.status_code == 201
    task_comments = f"{rest}/history/historic-task-instances/{task['id']}/comments"
    _until(lambda: [one["message"] for one in edge.get(task_comments).json()] == ["a nice one"])

    comments = f"{rest}/history/historic-process-instances/{instance}/comments"
    made = edge.post(comments, json={"message": "well done"})
    log = edge.get(
        f"{rest}/history/historic-task-log-entries", params={"taskId": task["id"], "from": "2020-01-01T00:00:00Z"}
    ).json()
    details = edge.post(f"{rest}/query/historic-detail", json={"processInstanceId": instance, "size": 50}).json()
    links = edge.get(f"{rest}/history/historic-process-instances/{instance}/identitylinks").json()
    series = edge.get(
        f"http://{target}/history-api/statistics/series", params={"measure": "started", "split": "true"}
    ).json()["series"]

    assert made.status_code == 201
    assert [one["message"] for one in edge.get(comments).json()] == ["well done"]
    assert log["data"][0]["type"] == "USER_TASK_CREATED"
    assert {one["variable"]["name"] for one in details["data"]} >= {"amount", "due"}
    assert {"type": "starter", "userId": "lin", "processInstanceId": instance} in links
    assert "expense" in {one["name"] for one in series}
    assert len(series[0]["points"]) == 30
    assert machine(target, "history", "search", "hist")["data"][0]["processInstanceId"] == instance
    assert "expense" in flowloom(target, "history", "processes").output
    assert "userTask" in flowloom(target, "history", "bottlenecks").output
    assert flowloom(target, "history", "lag").exit_code == 0
    rebuilt = flowloom(target, "history", "rebuild")
    assert rebuilt.output.startswith("rebuilt from "), rebuilt.output
    assert edge.get(comments).json()[0]["message"] == "well done"
    refused = flowloom(target, "history", "archive")
    assert refused.stderr.startswith("error: archive-not-set")
    deleted = edge.post(
        f"{rest}/history/historic-process-instances/delete", json={"action": "delete", "instanceIds": [instance]}
    )
    assert (deleted.status_code, deleted.json()["reason"]) == (409, "process-instance-running")


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until, "expected history to follow"
        time.sleep(0.05)


@pytest.mark.envoy
def test_a_person_is_erased_over_rest_and_by_command(target: str) -> None:
    assert flowloom(target, "users", "create", "miss.piggy", "--password", "a pig's first one").exit_code == 0
    edge = httpx.Client(base_url=f"http://{target}", auth=("admin", PASSWORD), timeout=SECONDS)
    wanted = {"preferences": {"language": "de"}}
    assert edge.put("/notify-api/preferences/miss.piggy", json=wanted).status_code == 200

    notify = edge.post("/notify-api/recipients/miss.piggy:erase", json={})
    forms = edge.post("/form-api/form/people/miss.piggy:erase", json={"withValues": True})
    own = edge.put("/notify-api/my-preferences", json=wanted, auth=("miss.piggy", "a pig's first one"))
    everywhere = machine(target, "users", "erase", "miss.piggy")

    assert (notify.status_code, notify.json()["removed"]["preferences"]) == (200, 1)
    assert (forms.status_code, forms.json()["removed"]["submission"]) == (200, 0)
    assert own.status_code == 200, own.text
    assert (everywhere["identity"]["user"], everywhere["notify"]["preferences"]) == (1, 1)
    assert "miss.piggy" not in flowloom(target, "users", "list").output
