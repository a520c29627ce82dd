"""Odd requests to every method, through Envoy: each is answered or refused, and the mesh is as sound as before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from tests.contract.described import rpcs
from tests.host.odd_requests import Oddities
from tests.mesh_process import running_mesh

pytestmark = pytest.mark.envoy

PASSWORD: Final = "a-password-of-the-test"
API: Final = "/process-api"
MODEL: Final = (
    '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="t">'
    '<process id="odd" isExecutable="true"><startEvent id="s"/><sequenceFlow id="f" sourceRef="s" targetRef="t"/>'
    '<userTask id="t"/><boundaryEvent id="b" attachedToRef="t"><timerEventDefinition><timeDuration>PT9H</timeDuration>'
    "</timerEventDefinition></boundaryEvent></process></definitions>"
)
# One never ends, one takes history away for a while, and the others are about who is asking.
LEFT_OUT: Final = {"StreamJobs", "StartRebuild", "Login", "Logout", "Refresh", "ChangePassword"}


@pytest.fixture(scope="module")
def rest() -> Iterator[httpx.Client]:
    environment = {"FLOWLOOM_ACCESS_MODE": "enforced", "FLOWLOOM_IDENTITY_ADMIN_PASSWORD": PASSWORD}
    with (
        running_mesh(edge=True, environment=environment) as mesh,
        httpx.Client(base_url=mesh.rest, auth=("admin", PASSWORD), trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def known(rest: httpx.Client) -> dict[str, str]:
    """Deploy and start something; the ids of what is there then."""
    rest.post(f"{API}/repository/deployments", files={"f": ("odd.bpmn", MODEL)}).raise_for_status()
    instance = rest.post(f"{API}/runtime/process-instances", json={"processDefinitionKey": "odd"}).json()
    (task,) = _list(rest, f"{API}/runtime/tasks")
    (timer,) = _list(rest, f"{API}/management/timer-jobs")
    return {
        "process_instance_id": instance["id"],
        "process_definition_id": instance["processDefinitionId"],
        "execution_id": task["executionId"],
        "task_id": task["id"],
        "job_id": timer["id"],
        "family": "users",
    }


def _list(rest: httpx.Client, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rest.get(path).json()["data"]
    return found


@pytest.mark.parametrize("seed", [1])
def test_no_request_is_odd_enough_to_break_anything(rest: httpx.Client, known: dict[str, str], seed: int) -> None:
    oddities = Oddities(seed, known)
    broken = []
    for rpc in rpcs():
        if rpc.name in LEFT_OUT:
            continue
        for asked in oddities.requests(rpc, 2):
            headers = {"content-type": "application/json"} if asked.content is not None else {}
            answer = rest.request(asked.verb, asked.url, content=asked.content, headers=headers)
            refused = answer.status_code >= 400
            framed = not refused or answer.json().keys() == {"message", "exception", "code", "reason"}
            if not framed or (answer.status_code >= 500 and answer.status_code != 501):
                broken.append(f"{rpc}: {answer.status_code} {answer.text[:300]}\n    {asked.url}\n    {asked.content}")

    assert not broken, "\n".join(broken)
    assert rest.get(f"{API}/management/consistency").json()["consistent"]
    assert _list(rest, "/bus-api/dead-letters") == []
