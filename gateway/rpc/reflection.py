"""Server reflection over the whole contract: one backend's own reflection would show that backend's services only."""

from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

#: The stable protocol has the same messages under another name; clients ask for it first.
_STABLE_SERVICE: Final = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Iterable[str], pool: DescriptorPool) -> None:
    """Serve reflection, v1 and v1alpha, for the named services from the files of `pool`."""
    names = (*services, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=pool)
    servicer: Any = reflection.aio.ReflectionServicer(names, pool=pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    stable = grpc.method_handlers_generic_handler(_STABLE_SERVICE, {"ServerReflectionInfo": handler})
    server.add_generic_rpc_handlers((stable,))
