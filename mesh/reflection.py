"""Server reflection over a merged descriptor set, as `grpc.reflection.v1` and `v1alpha`: same messages, two names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

_ALPHA: Final = "grpc.reflection.v1alpha"
_V1: Final = "grpc.reflection.v1"


def add_reflection(server: grpc.aio.Server, descriptor_set: bytes, services: Iterable[str] | None = None) -> None:
    """Answer reflection for what the set describes, and for health and reflection themselves.

    `descriptor_set` is a serialised `google.protobuf.FileDescriptorSet` that includes its imports. `services` are the
    full names to list; by default every service of the set. Raises ValueError if the set lacks an imported file.
    """
    described = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set)
    files = {file.name: file for file in described.file}
    for own in (_file_of(health_pb2.DESCRIPTOR), _file_of(reflection_pb2.DESCRIPTOR), _reflection_v1()):
        files.setdefault(own.name, own)
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    for name in files:
        _add(pool, files, name, added)
    if services is None:
        listed = [f"{file.package}.{service.name}" for file in described.file for service in file.service]
    else:
        listed = list(services)
    listed += ["grpc.health.v1.Health", f"{_V1}.ServerReflection", f"{_ALPHA}.ServerReflection"]
    servicer: Any = cast("Any", reflection).aio.ReflectionServicer(sorted(set(listed)), pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for version in (_V1, _ALPHA):
        server.add_registered_method_handlers(f"{version}.ServerReflection", {"ServerReflectionInfo": handler})


def _add(
    pool: descriptor_pool.DescriptorPool,
    files: dict[str, descriptor_pb2.FileDescriptorProto],
    name: str,
    added: set[str],
) -> None:
    """Add a file after all that it imports."""
    if name in added:
        return
    if name not in files:
        raise ValueError(f"expected the descriptor set to include its imports, found no {name}")
    added.add(name)
    for imported in files[name].dependency:
        _add(pool, files, imported, added)
    pool.AddSerializedFile(files[name].SerializeToString())


def _file_of(descriptor: Any) -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto.FromString(descriptor.serialized_pb)


def _reflection_v1() -> descriptor_pb2.FileDescriptorProto:
    """Return the description of version 1, which differs from v1alpha in the name of its package alone."""
    file = _file_of(reflection_pb2.DESCRIPTOR)
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = _V1
    for message in file.message_type:
        for field in message.field:
            if field.HasField("type_name"):
                field.type_name = field.type_name.replace(f".{_ALPHA}.", f".{_V1}.")
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_V1}.")
            method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_V1}.")
    return file
