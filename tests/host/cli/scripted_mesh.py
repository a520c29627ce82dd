"""A gRPC server on a free port that knows the contract, answers what it was told, remembers what it was asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from flowloom.engine.v1 import (
    external_worker_service_pb2,
    management_service_pb2,
    repository_service_pb2,
    runtime_service_pb2,
    saga_service_pb2,
    task_service_pb2,
)
from flowloom.events.v1 import dead_letter_service_pb2
from flowloom.forms.v1 import form_repository_service_pb2, form_service_pb2
from flowloom.history.v1 import erasure_service_pb2, history_service_pb2
from flowloom.identity.v1 import access_service_pb2, identity_service_pb2
from flowloom.notify.v1 import notification_service_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from mesh.errors import DomainError
from mesh.rpc_errors import CODES, DETAILS_KEY, status_of

Answer = Message | Sequence[Message] | DomainError | grpc.StatusCode

METHODS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in (
        external_worker_service_pb2,
        management_service_pb2,
        repository_service_pb2,
        runtime_service_pb2,
        saga_service_pb2,
        task_service_pb2,
        form_repository_service_pb2,
        form_service_pb2,
        history_service_pb2,
        erasure_service_pb2,
        notification_service_pb2,
        dead_letter_service_pb2,
        identity_service_pb2,
        access_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class ScriptedMesh(grpc.GenericRpcHandler):
    """Answers by the method's name; without a script, with the method's empty response."""

    def __init__(self) -> None:
        self.target = ""
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Any]] = []

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = METHODS.get(handler_call_details.method)
        if method is None:
            return None
        request_class = message_factory.GetMessageClass(method.input_type)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: iter(self._answer(method, request, context)),
                request_deserializer=request_class.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answer(method, request, context),
            request_deserializer=request_class.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _answer(self, method: MethodDescriptor, request: Message, context: grpc.ServicerContext) -> Any:
        self.asked.append((method.name, request))
        answer = self.answers.get(method.name)
        if answer is None:
            return [] if method.server_streaming else message_factory.GetMessageClass(method.output_type)()
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "as the test says")
        if isinstance(answer, DomainError):
            context.set_trailing_metadata(((DETAILS_KEY, status_of(answer).SerializeToString()),))
            context.abort(CODES[answer.status], answer.message)
        return answer


@contextlib.contextmanager
def running_scripted_mesh() -> Iterator[ScriptedMesh]:
    scripted = ScriptedMesh()
    server = grpc.server(ThreadPoolExecutor(max_workers=2), handlers=[scripted])
    port = server.add_insecure_port("127.0.0.1:0")
    scripted.target = f"127.0.0.1:{port}"
    server.start()
    try:
        yield scripted
    finally:
        server.stop(None).wait()
