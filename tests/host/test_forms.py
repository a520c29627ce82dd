"""Forms against a whole mesh, over REST as it comes out of Envoy: Flowable's paths, bodies and statuses."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.engine.forms.worlds import process
from tests.forms.worlds import form
from tests.host.enforced import PASSWORD, QUICK
from tests.mesh_process import running_mesh

pytestmark = pytest.mark.envoy

API = "/process-api"
NOBODY = {"authorization": ""}
PROPERTY = "|<flowable:formProperty id='room' type='long' required='true'/>"


@pytest.fixture(scope="module")
def rest() -> Iterator[httpx.Client]:
    with (
        running_mesh(edge=True, environment=QUICK) as mesh,
        httpx.Client(base_url=mesh.rest, trust_env=False, timeout=30) as client,
    ):
        client.headers.update(login(client, "admin", PASSWORD))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            keyed = process(start="flowable:formKey='leave'", task="flowable:formKey='leave'")
            archive.writestr("leave.bpmn20.xml", keyed)
            archive.writestr("form-leave.form", json.dumps(form()))
            archive.writestr("booking.bpmn20.xml", process("booking", start=PROPERTY, task=PROPERTY))
        files = {"file": ("leave.bar", packed.getvalue())}
        client.post(f"{API}/repository/deployments", files=files).raise_for_status()
        yield client


def login(rest: httpx.Client, user_id: str, password: str) -> dict[str, str]:
    answer = rest.post("/identity-api/login", json={"userId": user_id, "password": password}, headers=NOBODY)
    answer.raise_for_status()
    return {"authorization": f"Bearer {answer.json()['accessToken']}"}


def make_user(rest: httpx.Client, user_id: str, *privileges: str) -> dict[str, str]:
    """Somebody with privileges; returns the headers of their session."""
    body = {"id": user_id, "firstName": user_id, "password": f"password of {user_id}"}
    rest.post("/idm-api/users", json=body).raise_for_status()
    for name in privileges:
        made = rest.post("/idm-api/privileges", json={"name": name})
        made.raise_for_status()
        given = rest.post(f"/idm-api/privileges/{made.json()['id']}/users", json={"userId": user_id})
        given.raise_for_status()
    return login(rest, user_id, body["password"])


def run(rest: httpx.Client, key: str, **more: Any) -> str:
    answer = rest.post(f"{API}/runtime/process-instances", json={"processDefinitionKey": key, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def task(rest: httpx.Client, instance_id: str) -> dict[str, Any]:
    (found,) = rest.get(f"{API}/runtime/tasks", params={"processInstanceId": instance_id}).json()["data"]
    return dict(found)


def definition(rest: httpx.Client, key: str) -> str:
    found = rest.get(f"{API}/repository/process-definitions", params={"key": key, "latest": "true"}).json()
    return str(found["data"][0]["id"])


def test_a_form_that_came_with_its_process_is_shown_submitted_and_kept(rest: httpx.Client) -> None:
    instance_id = run(rest, "leave", startFormVariables=[{"name": "reason", "value": "sun"}], outcome="approve")
    task_id = task(rest, instance_id)["id"]

    shown = rest.get(f"{API}/runtime/tasks/{task_id}/form").json()
    listed = rest.get("/form-api/form-repository/form-definitions", params={"key": "leave", "latest": "true"}).json()
    body = {
        "action": "complete",
        "formDefinitionId": listed["data"][0]["id"],
        "outcome": "reject",
        "variables": [{"name": "reason", "value": "rain"}, {"name": "days", "value": "3"}],
    }
    completed = rest.post(f"{API}/runtime/tasks/{task_id}", json=body)

    assert [each.get("value") for each in shown["fields"]] == ["sun", None]
    assert completed.status_code == 200
    assert task(rest, instance_id)["taskDefinitionKey"] == "after"
    variables = rest.get(f"{API}/runtime/process-instances/{instance_id}/variables").json()
    assert {each["name"]: (each["type"], each["value"]) for each in variables} == {
        "reason": ("string", "rain"),
        "days": ("integer", 3),
        "form_leave_outcome": ("string", "reject"),
    }
    kept = rest.get("/form-api/form/form-instances", params={"processInstanceId": instance_id}).json()
    assert [(each.get("taskId"), each["values"]["reason"]) for each in kept["data"]] == [
        (None, "sun"),
        (task_id, "rain"),
    ]
    queried = rest.post("/form-api/query/form-instances", json={"taskId": task_id}).json()
    assert (queried["total"], queried["data"][0]["outcome"]) == (1, "reject")
    historic = rest.get(f"{API}/history/historic-task-instances/{task_id}/form").json()
    assert (historic["selectedOutcome"], historic["fields"][1]["value"]) == ("reject", 3)


def test_every_fault_is_told_over_rest_too(rest: httpx.Client) -> None:
    body = {"processDefinitionKey": "leave", "startFormVariables": [{"name": "days", "value": 99}]}

    answer = rest.post(f"{API}/runtime/process-instances", json=body)

    assert (answer.status_code, answer.json()["reason"]) == (400, "form-invalid")
    assert "fields.reason: expected a value, found none" in answer.json()["exception"]
    assert "fields.days: expected at most 30, found 99" in answer.json()["exception"]


def test_start_form_and_forms_of_a_definition(rest: httpx.Client) -> None:
    definition_id = definition(rest, "leave")

    start = rest.get(f"{API}/repository/process-definitions/{definition_id}/start-form").json()
    forms = rest.get(f"{API}/repository/process-definitions/{definition_id}/form-definitions").json()

    assert (start["key"], [each["id"] for each in start["outcomes"]]) == ("leave", ["approve", "reject"])
    assert [(each["key"], each["resourceName"]) for each in forms] == [("leave", "form-leave.form")]


def test_form_data_of_start_events_and_tasks(rest: httpx.Client) -> None:
    definition_id = definition(rest, "booking")
    shown = rest.get(f"{API}/form/form-data", params={"processDefinitionId": definition_id}).json()
    started = rest.post(
        f"{API}/form/form-data",
        json={"processDefinitionId": definition_id, "businessKey": "b", "properties": [{"id": "room", "value": "7"}]},
    )
    task_id = task(rest, started.json()["id"])["id"]

    wrong = rest.post(f"{API}/form/form-data", json={"taskId": task_id, "properties": [{"id": "room", "value": "x"}]})
    done = rest.post(f"{API}/form/form-data", json={"taskId": task_id, "properties": [{"id": "room", "value": "8"}]})

    assert [(each["id"], each["type"], each["required"]) for each in shown["formProperties"]] == [
        ("room", "long", True)
    ]
    assert (started.status_code, started.json()["businessKey"]) == (200, "b")
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "form-invalid")
    assert (done.status_code, done.content, "x-http-status" in done.headers) == (204, b"", False)
    assert rest.get(f"{API}/form/form-data", params={"taskId": task_id}).status_code == 404


def test_forms_are_deployed_without_a_process(rest: httpx.Client) -> None:
    files = {"file": ("alone.form", json.dumps(form("alone")))}
    deployed = rest.post("/flowable-rest/form-api/form-repository/deployments", files=files)
    deployment_id = deployed.json()["id"]
    found = rest.get("/form-api/form-repository/form-definitions", params={"deploymentId": deployment_id}).json()
    form_id = found["data"][0]["id"]

    assert deployed.status_code == 201
    assert rest.get(f"/form-api/form-repository/form-definitions/{form_id}/model").json()["key"] == "alone"
    assert rest.get(f"/form-api/form-repository/form-definitions/{form_id}/resourcedata").json() == form("alone")
    data = rest.get(f"/form-api/form-repository/deployments/{deployment_id}/resourcedata/alone.form")
    assert data.json() == form("alone")
    assert rest.delete(f"/form-api/form-repository/deployments/{deployment_id}").status_code == 204
    assert rest.get(f"/form-api/form-repository/form-definitions/{form_id}").status_code == 404


def test_a_deployment_with_a_wrong_form_is_refused_with_file_and_field(rest: httpx.Client) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bad.bpmn20.xml", process("bad"))
        archive.writestr("bad.form", json.dumps(form("bad", fields=[{"id": "x", "type": "hologram"}])))

    answer = rest.post(f"{API}/repository/deployments", files={"file": ("bad.zip", packed.getvalue())})

    assert (answer.status_code, answer.json()["reason"]) == (400, "invalid-form")
    assert "resources.bad.form.fields.x" in answer.json()["exception"]
    body = {"processDefinitionKey": "bad"}
    assert rest.post(f"{API}/runtime/process-instances", json=body).status_code == 404


def test_who_may_complete_tasks_submits_their_forms_and_does_nothing_else_with_forms(rest: httpx.Client) -> None:
    tasks = (f"engine.task.{verb}" for verb in ("read", "act", "claim", "complete"))
    ann = make_user(rest, "ann", *tasks)
    instance_id = run(rest, "leave")
    task_id = task(rest, instance_id)["id"]
    found = rest.get("/form-api/form-repository/form-definitions", params={"key": "leave", "latest": "true"}).json()
    body = {
        "action": "complete",
        "formDefinitionId": found["data"][0]["id"],
        "variables": [{"name": "reason", "value": "sun"}],
    }

    claimed = rest.post(f"{API}/runtime/tasks/{task_id}", json={"action": "claim", "assignee": "ann"}, headers=ann)
    shown = rest.get(f"{API}/runtime/tasks/{task_id}/form", headers=ann)
    completed = rest.post(f"{API}/runtime/tasks/{task_id}", json=body, headers=ann)

    assert [answer.status_code for answer in (claimed, shown, completed)] == [200, 200, 200], completed.text
    kept = rest.get("/form-api/form/form-instances", params={"taskId": task_id}).json()
    assert kept["data"][0]["submittedBy"] == "ann"
    for answer in (
        rest.get("/form-api/form/form-instances", headers=ann),
        rest.post("/form-api/form/submissions:prepare", json={"sagaId": "s", "stepId": "x"}, headers=ann),
        rest.post("/form-api/form-repository/deployments:create", json={}, headers=ann),
    ):
        assert (answer.status_code, answer.json()["reason"]) == (403, "privilege-missing")
    assert rest.get("/form-api/form/form-instances", headers=NOBODY).status_code == 401
