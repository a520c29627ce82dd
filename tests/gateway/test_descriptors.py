"""Reading a descriptor set into the edge's contract."""

import pytest
from google.protobuf import descriptor_pb2

from gateway.effects.descriptors import DescriptorError, pool_of, read_contract
from tests.gateway.sample_service import sample_contract


def test_methods_carry_their_bindings_and_options() -> None:
    methods = {method.name: method for method in sample_contract().methods_of("sample.v1.Items")}

    assert [binding.matched for binding in methods["Get"].bindings] == ["GET /process-api/items/*"]
    assert (methods["Get"].read_only, methods["Get"].http_status) == (True, 200)
    assert (methods["Create"].read_only, methods["Create"].http_status) == (False, 201)
    assert methods["Create"].bindings[0].body == "*"
    assert methods["Delete"].http_status == 204
    assert methods["Watch"].long_lived
    assert methods["Changes"].streams_responses
    assert not methods["Changes"].long_lived
    assert methods["Get"].path == "/sample.v1.Items/Get"


def test_details_of_errors_and_health_are_added() -> None:
    pool = pool_of(sample_contract())

    assert pool.FindMessageTypeByName("google.rpc.ErrorInfo")
    assert pool.FindServiceByName("grpc.health.v1.Health")


def test_reading_again_changes_nothing() -> None:
    once = sample_contract()

    again = read_contract(once.descriptors)

    assert again == once
    assert again.digest == once.digest


def test_bytes_that_are_no_descriptor_set_are_refused() -> None:
    with pytest.raises(DescriptorError, match="FileDescriptorSet"):
        read_contract(b"\x07nonsense")


def test_a_set_without_its_imports_is_refused() -> None:
    whole = descriptor_pb2.FileDescriptorSet.FromString(sample_contract().descriptors)
    alone = descriptor_pb2.FileDescriptorSet(file=[file for file in whole.file if file.name == "sample.proto"])

    with pytest.raises(DescriptorError, match="imports"):
        read_contract(alone.SerializeToString())


def test_a_contract_without_the_projects_options_has_their_defaults() -> None:
    plain = descriptor_pb2.FileDescriptorSet()
    file = plain.file.add(name="plain.proto", package="plain.v1", syntax="proto3")
    file.message_type.add(name="Nothing")
    file.service.add(name="Plain").method.add(
        name="Do", input_type=".plain.v1.Nothing", output_type=".plain.v1.Nothing"
    )

    (method,) = read_contract(plain.SerializeToString()).methods_of("plain.v1.Plain")

    assert (method.http_status, method.read_only, method.bindings) == (200, False, ())
