"""Rules are read from the contract, and a method without one is not served."""

from importlib.resources import files
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2

from mesh.access.contract import AccessRules, AccessUndeclared, Rule, read_rules
from mesh.access.control import OpenAccess
from mesh.guard import GuardedServer
from mesh.local_channel import LocalServer
from mesh.server import MeshServer, ServerSettings
from tests.mesh.echo import SERVICE, Echo, add_echo_to_server

DESCRIPTORS = files("flowloom").joinpath("descriptors.pb").read_bytes()
COMPLETE = "/flowloom.engine.v1.TaskService/CompleteTask"


def test_the_rule_of_a_method_is_what_its_contract_says() -> None:
    rule = read_rules(DESCRIPTORS).of(COMPLETE)

    assert rule.privilege == "engine.task.complete"
    assert not rule.public
    assert "engine.*" in rule.granted_by


def test_health_and_reflection_are_public() -> None:
    rules = read_rules(DESCRIPTORS)

    assert rules.of("/grpc.health.v1.Health/Check").public
    assert rules.of("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").public


def test_a_service_that_is_named_public_is_and_no_other() -> None:
    rules = read_rules(DESCRIPTORS, public_services=("envoy.service.auth.v3.Authorization",))

    assert rules.of("/envoy.service.auth.v3.Authorization/Check").public
    with pytest.raises(AccessUndeclared):
        rules.of("/envoy.service.other.v3.Authorization/Check")


@pytest.mark.parametrize("options", ["", "privilege and public"])
def test_a_method_that_does_not_say_one_thing_has_no_rule(options: str) -> None:
    described = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS)
    for file in described.file:
        for service in file.service:
            for method in service.method:
                if f"/{file.package}.{service.name}/{method.name}" == COMPLETE:
                    method.ClearField("options")
                    # Field 50100 (access), then 1 (privilege) and 2 (public).
                    raw = b"\xa2\xbb\x18\x05\x0a\x01x\x10\x01" if options else b""
                    method.options.MergeFromString(raw)

    with pytest.raises(AccessUndeclared, match="CompleteTask"):
        read_rules(described.SerializeToString()).of(COMPLETE)


def test_a_set_without_the_option_has_no_rules() -> None:
    with pytest.raises(AccessUndeclared):
        read_rules(b"").of(COMPLETE)


def test_a_service_with_a_method_that_has_no_rule_cannot_be_registered() -> None:
    names = ("OneToOne", "OneToMany", "ManyToOne")
    rules = AccessRules({f"/{SERVICE}/{name}": Rule(method=name, privilege="a.b.c") for name in names})
    server = GuardedServer((LocalServer(),), access=OpenAccess(rules))

    with pytest.raises(AccessUndeclared, match="ManyToMany"):
        add_echo_to_server(Echo(), server)


def test_a_handler_that_looks_methods_up_by_itself_serves_none_without_a_rule() -> None:
    class Anything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)

    taken: list[grpc.GenericRpcHandler] = []

    class Target(LocalServer):
        def add_generic_rpc_handlers(self, generic_rpc_handlers: object) -> None:
            taken.extend(generic_rpc_handlers)  # type: ignore[call-overload]

    GuardedServer((Target(),), access=OpenAccess(AccessRules({}))).add_generic_rpc_handlers((Anything(),))

    class Details:
        method = "/x.v1.Secret/Tell"

    with pytest.raises(AccessUndeclared):
        taken[-1].service(Details())  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "example.org", "[::]", "::"])
def test_a_server_with_access_off_listens_to_nobody_else(host: str) -> None:
    for access in (None, OpenAccess()):
        with pytest.raises(RuntimeError, match="loopback"):
            MeshServer(ServerSettings(host=host), access=access)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
async def test_a_server_with_access_off_may_listen_on_loopback(host: str) -> None:
    assert MeshServer(ServerSettings(host=host)) is not None
