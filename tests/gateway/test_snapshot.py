"""What a snapshot finds wrong with itself before Envoy sees it."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.model.contract import Binding
from gateway.model.policies import Access, Keys, Rates, Tls
from gateway.model.snapshot import Cluster, Endpoint, Listener, Snapshot
from tests.gateway.edges import sample_snapshot
from tests.gateway.sample_service import SERVICE

WRONG = "sample.v1.Wrong"


def sound() -> Snapshot:
    return sample_snapshot(8080, 3001)


def problems(**changes: Any) -> list[str]:
    return [str(problem) for problem in replace(sound(), **changes).check()]


def test_a_sound_snapshot_has_no_problem() -> None:
    assert problems() == []


def test_two_methods_with_one_path_are_found_whatever_their_variables_are_called() -> None:
    found = problems(services={SERVICE: "items", WRONG: "items"})

    twin = "`GET /process-api/items/*` is bound by /sample.v1.Items/Get already"
    assert f"/sample.v1.Wrong/Twin: {twin}" in found


def test_a_method_that_is_not_routed_claims_no_path() -> None:
    assert problems(services={WRONG: "items"}) and not [
        problem for problem in problems(services={WRONG: "items"}) if "Twin" in problem
    ]


@pytest.mark.parametrize(
    ("method", "words"), [("Bare", "not a scalar or a Value"), ("Part", "response_body"), ("Teapot", "418")]
)
def test_a_binding_that_the_transcoder_cannot_serve_is_found(method: str, words: str) -> None:
    found = problems(services={SERVICE: "items", WRONG: "items"})

    assert [problem for problem in found if problem.startswith(f"/sample.v1.Wrong/{method}:") and words in problem]


def test_a_service_without_cluster_is_found() -> None:
    assert problems(services={SERVICE: "elsewhere"}) == [
        "sample.v1.Items: its cluster 'elsewhere' must be among the clusters"
    ]


def test_a_service_that_the_descriptors_do_not_know_is_found() -> None:
    assert problems(services={"sample.v1.Ghost": "items"}) == [
        "sample.v1.Ghost: a routed service must be in the descriptor set"
    ]


def test_a_cluster_without_endpoints_is_found() -> None:
    assert problems(clusters=(Cluster(name="items", endpoints=()),)) == ["items: a cluster needs at least one endpoint"]


def test_an_endpoint_by_name_is_found() -> None:
    named = Cluster(name="items", endpoints=(Endpoint(address="localhost", port=1),))

    assert problems(clusters=(named,)) == ["items: an endpoint needs an IP address, found 'localhost'"]


def test_two_clusters_of_one_name_are_found() -> None:
    assert problems(clusters=sound().clusters * 2) == ["items: a cluster's name must be unique, found it 2 times"]


def test_reflection_and_health_need_their_clusters() -> None:
    assert problems(reflection_cluster="a", health_cluster="b") == [
        "reflection: its cluster 'a' must be among the clusters",
        "health: its cluster 'b' must be among the clusters",
    ]


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::"])
def test_other_than_loopback_is_refused_until_it_is_allowed_and_access_is_controlled(address: str) -> None:
    allowed = Listener(address=address, loopback_only=False)
    access = Access(keys=Keys(cluster="items", service=SERVICE, path="/process-api/keys"))

    assert len(problems(listener=Listener(address=address), access=access)) == 1
    assert len(problems(listener=allowed)) == 1
    assert problems(listener=allowed, access=access) == []


def test_a_listener_by_name_is_refused() -> None:
    assert problems(listener=Listener(address="localhost")) == [
        "localhost: the listener's address must be an IP address"
    ]


def test_a_certificate_needs_its_key() -> None:
    listener = Listener(tls=Tls(certificate_path="/tls/tls.crt", key_path=""))

    assert problems(listener=listener) == ["tls: certificate and key must be named by absolute paths"]


def test_policies_need_their_clusters_and_their_keys() -> None:
    access = Access(keys=Keys(cluster="a", service=SERVICE, path="/nowhere"), exchange_cluster="b", issuer="")

    assert problems(access=access, rates=Rates(counting_cluster="c")) == [
        "rates: their cluster 'c' must be among the clusters",
        "keys: its cluster 'a' must be among the clusters",
        "exchange: its cluster 'b' must be among the clusters",
        f"keys: {SERVICE} must bind a method to `GET /nowhere`",
        "access: an issuer and an audience must be named",
    ]


def test_a_snapshot_does_not_change_with_the_mapping_it_was_made_from() -> None:
    services = {SERVICE: "items"}
    snapshot = replace(sound(), services=services)

    services["sample.v1.Later"] = "items"

    assert dict(snapshot.services) == {SERVICE: "items"}


@pytest.mark.parametrize(
    ("template", "matched"),
    [
        ("/v1/a/{id}", "GET /v1/a/*"),
        ("/v1/a/{id=*}", "GET /v1/a/*"),
        ("/v1/a/{name=b/*/c/*}", "GET /v1/a/b/*/c/*"),
        ("/v1/{name=**}", "GET /v1/**"),
        ("/v1/a/{id}:claim", "GET /v1/a/*:claim"),
        ("/v1/a/", "GET /v1/a"),
    ],
)
def test_templates_are_compared_by_what_they_match(template: str, matched: str) -> None:
    assert Binding(verb="GET", template=template).matched == matched
