"""Bad input against a whole mesh, over REST as it comes out of Envoy: refused by status and reason, nothing changed."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.mesh_process import running_mesh

pytestmark = pytest.mark.envoy

NOBODY = "01a20abc-c832-791d-8b35-7835c51e7fc9"
API = "/process-api"
INSTANCES = f"{API}/runtime/process-instances"
DEPLOYMENTS = f"{API}/repository/deployments"


def model(key: str, content: str, *flows: str) -> bytes:
    """A process of one line per element; `a>b` is a flow."""
    pairs = [flow.split(">") for flow in flows]
    drawn = "\n".join(f'<sequenceFlow id="{a}-{b}" sourceRef="{a}" targetRef="{b}"/>' for a, b in pairs)
    return (
        '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn" '
        f'targetNamespace="t">\n<process id="{key}" isExecutable="true">\n<startEvent id="s"/>\n{content}\n{drawn}\n'
        "</process></definitions>"
    ).encode()


def script(key: str, source: str) -> bytes:
    task = f'<scriptTask id="x" scriptFormat="javascript"><script><![CDATA[{source}]]></script></scriptTask>'
    return model(key, task, "s>x")


@pytest.fixture(scope="module")
def rest() -> Iterator[httpx.Client]:
    with running_mesh(edge=True) as mesh, httpx.Client(base_url=mesh.rest, trust_env=False, timeout=30) as client:
        deploy(client, model("work", '<userTask id="a"/>', "s>a")).raise_for_status()
        yield client


def deploy(rest: httpx.Client, data: bytes, name: str = "model.bpmn20.xml") -> httpx.Response:
    return rest.post(DEPLOYMENTS, files={"file": (name, data)})


def start(rest: httpx.Client, key: str, **more: Any) -> httpx.Response:
    return rest.post(INSTANCES, json={"processDefinitionKey": key, **more})


def refused(answer: httpx.Response, status: int, reason: str) -> str:
    """Check Flowable's error body with our reason in it; give what was expected and found."""
    body = answer.json()
    assert (answer.status_code, body["reason"]) == (status, reason), answer.text
    assert body.keys() == {"message", "exception", "code", "reason"}
    return str(body["exception"])


@pytest.mark.parametrize(
    "path",
    [
        f"{INSTANCES}/{NOBODY}",
        f"{API}/runtime/tasks/{NOBODY}",
        f"{API}/runtime/executions/{NOBODY}/activities",
        f"{API}/repository/process-definitions/{NOBODY}/resourcedata",
        f"{API}/management/deadletter-jobs/{NOBODY}",
        f"{API}/history/historic-process-instances/{NOBODY}",
        f"/external-job-api/jobs/{NOBODY}",
    ],
)
def test_an_unknown_id_is_not_found(rest: httpx.Client, path: str) -> None:
    answer = rest.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"<definitions", "line 1, the document: expected well-formed XML"),
        (model("bad", '<teapot id="x"/>', "s>x"), "line 4, element 'x': expected an element that can be executed"),
        (model("bad", "", "s>x"), "line 5, element 's-x': expected targetRef to name a flow element, found 'x'"),
        (
            model("bad", '<userTask id="x" flowable:assignee="${a +}"/>', "s>x"),
            "line 4, element 'x': assignee: expected a value",
        ),
        (
            script("bad", "var a = 1;\nvar = 2;"),
            "line 4, element 'x': expected a script that can be read, found: line 2",
        ),
        (b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><definitions>&x;</definitions>', "the document"),
    ],
)
def test_a_bad_model_is_refused_with_line_and_element_and_nothing_is_deployed(
    rest: httpx.Client, data: bytes, expected: str
) -> None:
    before = rest.get(DEPLOYMENTS).json()["total"]

    assert expected in refused(deploy(rest, data), 400, "invalid-model")

    assert rest.get(DEPLOYMENTS).json()["total"] == before


@pytest.mark.parametrize(
    ("name", "data", "status", "reason"),
    [
        ("../../up.bpmn20.xml", b"<definitions/>", 400, "invalid-archive"),
        ("zeros.txt", bytes(100_000_000), 429, "deployment-too-large"),
    ],
)
def test_a_hostile_archive_is_refused(rest: httpx.Client, name: str, data: bytes, status: int, reason: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)

    refused(deploy(rest, file.getvalue(), "a.bar"), status, reason)


def test_what_was_deployed_comes_back_byte_for_byte(rest: httpx.Client) -> None:
    data = model("same", '<userTask id="a"/>\r\n<!-- ä -->', "s>a") + b"\n\n"
    deployed = deploy(rest, data, "same.bpmn20.xml").json()["id"]

    assert rest.get(f"{DEPLOYMENTS}/{deployed}/resourcedata/same.bpmn20.xml").content == data


@pytest.mark.parametrize(
    "source",
    [
        "while (true) {}",
        "/(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!')",
        "[].indexOf.call({length: 2 ** 53 - 1}, 1)",
        "var all = []; while (true) all.push(new Array(1e5).join('x'))",
    ],
)
def test_a_hostile_script_is_stopped_and_the_engine_goes_on(rest: httpx.Client, source: str) -> None:
    deploy(rest, script("hostile", source)).raise_for_status()

    found = refused(start(rest, "hostile"), 409, "script-failed")

    assert "(limit: script_" in found
    assert start(rest, "work").status_code == 201


def test_a_loop_without_a_wait_state_is_stopped_by_its_limit(rest: httpx.Client) -> None:
    gateways = '<exclusiveGateway id="g"/><exclusiveGateway id="h"/>'
    deploy(rest, model("loop", gateways, "s>g", "g>h", "h>g")).raise_for_status()

    assert "(limit: steps)" in refused(start(rest, "loop"), 409, "too-many-steps")


def test_a_variable_of_ten_megabytes_is_refused_by_its_limit(rest: httpx.Client) -> None:
    answer = start(rest, "work", variables=[{"name": "big", "value": "x" * 10_000_000}])

    assert "(limit: variable_bytes)" in refused(answer, 400, "variable-too-large")


def test_a_body_beyond_the_limit_of_the_edge_is_refused(rest: httpx.Client) -> None:
    refused(start(rest, "work", variables=[{"name": "big", "value": "x" * 17_000_000}]), 413, "body-too-large")


@pytest.mark.parametrize("depth", [90, 3000])
def test_a_value_that_is_nested_too_deep_is_refused(rest: httpx.Client, depth: int) -> None:
    body = '{"processDefinitionKey":"work","variables":[{"name":"n","value":' + "[" * depth + "]" * depth + "}]}"

    answer = rest.post(INSTANCES, content=body, headers={"content-type": "application/json"})

    assert "deep" in refused(answer, 400, "malformed-request")


def test_a_repeated_request_gets_its_first_answer(rest: httpx.Client) -> None:
    first = start(rest, "work", requestId="once", businessKey="first")

    again = start(rest, "work", requestId="once", businessKey="second")

    assert (again.status_code, again.json()) == (201, first.json())


def test_nothing_starts_of_a_suspended_definition(rest: httpx.Client) -> None:
    deploy(rest, model("still", '<userTask id="a"/>', "s>a")).raise_for_status()
    (found,) = rest.get(f"{API}/repository/process-definitions?key=still").json()["data"]
    path = f"{API}/repository/process-definitions/{found['id']}"
    assert rest.put(path, json={"action": "suspend"}).status_code == 200

    refused(start(rest, "still"), 409, "definition-suspended")
    refused(rest.put(path, json={"action": "suspend"}), 409, "already-suspended")

    assert rest.get(f"{INSTANCES}?processDefinitionKey=still").json()["total"] == 0


def test_a_migration_to_an_unknown_definition_is_not_found(rest: httpx.Client) -> None:
    instance = start(rest, "work").json()["id"]

    answer = rest.post(f"{INSTANCES}/{instance}/migrate", json={"toProcessDefinitionId": "work:9:none"})

    refused(answer, 404, "process-definition-not-found")


@pytest.mark.parametrize("query", ["sort=banana", "order=sideways", "size=-1", "pageToken=zzz", "bogus=1"])
def test_a_list_that_is_asked_for_wrongly_is_refused(rest: httpx.Client, query: str) -> None:
    assert rest.get(f"{API}/runtime/tasks?{query}").status_code == 400


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/process-api/management/engine", "/flowable-rest/service/management/engine"),
        ("/external-job-api/jobs", "/flowable-rest/external-job-api/jobs"),
        ("/idm-api/idm-management/engine", "/flowable-rest/idm-api/idm-management/engine"),
        ("/form-api/form-repository/form-definitions", "/flowable-rest/form-api/form-repository/form-definitions"),
    ],
)
def test_every_interface_of_flowable_s_application_is_found_under_its_root(
    rest: httpx.Client, path: str, other: str
) -> None:
    answers = [rest.get(path), rest.get(other)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize("owner", ["process-instances", "executions", "tasks"])
def test_a_form_with_a_file_is_a_binary_variable_at_the_path_of_json(rest: httpx.Client, owner: str) -> None:
    instance_id = start(rest, "work").json()["id"]
    (task,) = rest.get(f"{API}/runtime/tasks", params={"processInstanceId": instance_id}).json()["data"]
    owner_id = {"process-instances": instance_id, "executions": task["executionId"], "tasks": task["id"]}[owner]
    variables = f"{API}/runtime/{owner}/{owner_id}/variables"

    made = rest.post(variables, files={"file": ("a.bin", b"\x00\x01")}, data={"name": "scan", "type": "binary"})
    again = rest.post(variables, files={"file": ("a.bin", b"\x00\x01")}, data={"name": "scan"})
    changed = rest.put(f"{variables}/scan", files={"file": ("a.bin", b"\x02")}, data={"name": "scan"})
    as_json = rest.post(variables, json=[{"name": "plain", "value": 1}])

    assert (made.status_code, made.json()["valueUrl"]) == (201, f"{variables}/scan/data")
    refused(again, 409, "variable-exists")
    assert (changed.status_code, changed.json()["type"]) == (200, "binary")
    assert rest.get(f"{variables}/scan/data").content == b"\x02"
    assert (as_json.status_code, as_json.json()[0]["value"]) == (201, 1)


@pytest.mark.parametrize("owner", ["process-instances", "executions"])
def test_variables_that_may_be_set_later_are_set_at_once(rest: httpx.Client, owner: str) -> None:
    later = f"{API}/runtime/{owner}/{start(rest, 'work').json()['id']}/variables-async"
    plain = {"name": "plain", "value": 1}

    made = rest.post(later, json=[plain])
    changed = rest.put(later, json=[plain | {"value": 2}])
    one = rest.put(f"{later}/plain", json=plain | {"value": 3})

    assert [answer.status_code for answer in (made, changed, one)] == [201, 201, 200]
    assert rest.get(f"{later.removesuffix('-async')}/plain").json()["value"] == 3
    refused(rest.post(later, json=[plain]), 409, "variable-exists")


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("2020-01-31", "2220-01-31"),
        ("2020-01-31T10:00", "2220-01-31T10:00"),
        ("2020-01-31T10:00:00.000", "2220-01-31T10:00:00.000"),
        ("2020-01-31T10:00:00.000+0000", "2220-01-31T10:00:00.000-0130"),
        ("2020-01-31T10:00:00+01:00", "2220-01-31T10:00:00Z"),
    ],
)
def test_moments_of_lists_are_read_as_flowable_reads_them(rest: httpx.Client, early: str, late: str) -> None:
    start(rest, "work").raise_for_status()
    tasks, instances = f"{API}/runtime/tasks", f"{API}/history/historic-process-instances"

    for path, after, before in (
        (tasks, "createdAfter", "createdBefore"),
        (instances, "startedAfter", "startedBefore"),
        ("/flowable-rest/service/runtime/tasks", "createdAfter", "createdBefore"),
    ):
        found = rest.get(path, params={after: early, before: late, "size": 1})
        assert (found.status_code, found.json()["size"]) == (200, 1), found.text
        # A plus that was not escaped, as people type it.
        assert rest.get(f"{path}?{after}={late}&size=1").json()["size"] == 0


def test_a_moment_of_a_list_that_is_none_is_refused(rest: httpx.Client) -> None:
    for wrong in ("yesterday", "2020-13-45", "2020-01-31T99", "2020-01-31 10:00"):
        assert rest.get(f"{API}/runtime/tasks", params={"createdAfter": wrong}).status_code == 400, wrong
    # What only looks like one stays what it is.
    named = rest.post(f"{API}/runtime/tasks", json={"name": "2020-01-31"}).json()["id"]
    found = rest.get(f"{API}/runtime/tasks", params={"name": "2020-01-31"}).json()["data"]
    assert [task["id"] for task in found] == [named]
