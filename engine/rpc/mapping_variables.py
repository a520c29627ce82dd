"""Requests about variables of tasks, executions and instances as changes, and what they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from flowloom.engine.v1 import runtime_service_pb2, task_service_pb2, variable_pb2
from google.api import httpbody_pb2

from engine.app import multipart
from engine.app.variable_changes import VariableChange, VariableRemoval
from engine.kernel.values import BINARY, Variable
from engine.rpc.context import HTTP_STATUS_KEY
from engine.rpc.errors import invalid_request
from engine.rpc.mapping_lists import variable_path
from engine.rpc.variables import (
    GLOBAL,
    LOCAL,
    MAX_NAME_CHARACTERS,
    read_scope,
    read_scoped,
    read_typed,
    write_variable,
)
from mesh.errors import NotFound

if TYPE_CHECKING:
    import grpc

    RpcContext = grpc.aio.ServicerContext[Any, Any]

Messages = Sequence[variable_pb2.Variable]
Upload: TypeAlias = (
    runtime_service_pb2.UploadProcessInstanceVariableRequest
    | runtime_service_pb2.UploadExecutionVariableRequest
    | task_service_pb2.UploadTaskVariableRequest
)


def created(found: Messages, user_id: str, request_id: str) -> VariableChange:
    """Return the change that creates variables; their scope is local unless they say global."""
    globals_, locals_ = read_scoped(found, LOCAL)
    return VariableChange(globals=globals_, locals=locals_, create_only=True, user_id=user_id, request_id=request_id)


def upserted(found: Messages, user_id: str, request_id: str) -> VariableChange:
    """Return the change that creates or changes variables; their scope is local unless they say global."""
    globals_, locals_ = read_scoped(found, LOCAL)
    return VariableChange(globals=globals_, locals=locals_, user_id=user_id, request_id=request_id)


def updated(name: str, found: variable_pb2.Variable, user_id: str, request_id: str) -> VariableChange:
    """Return the change of one variable; its scope is local unless it says global.

    Raises InvalidArgument for another name in the body, and for a value that cannot be read.
    """
    if found.name and found.name != name:
        raise invalid_request("variable.name", f"expected name '{name}' as in the path, found '{found.name}'")
    new = {name: read_typed(found.type, found.value, name, "variable")}
    is_global = read_scope(found.scope, LOCAL, "variable.scope") == GLOBAL
    return VariableChange(
        globals=new if is_global else {},
        locals={} if is_global else new,
        update_only=True,
        user_id=user_id,
        request_id=request_id,
    )


def of_instance(found: Messages, user_id: str, request_id: str, *, create_only: bool) -> VariableChange:
    """Return the change of an instance's variables, whose scope is always its own."""
    globals_, locals_ = read_scoped(found, LOCAL)
    return VariableChange(
        locals={**globals_, **locals_}, create_only=create_only, user_id=user_id, request_id=request_id
    )


def updated_of_instance(name: str, found: variable_pb2.Variable, user_id: str, request_id: str) -> VariableChange:
    """Return the change of one variable of an instance. Raises InvalidArgument as `updated`."""
    change = updated(name, found, user_id, request_id)
    return VariableChange(
        locals={**change.globals, **change.locals}, update_only=True, user_id=user_id, request_id=request_id
    )


def uploaded(request: Upload, user_id: str, *, of_instance: bool = False) -> VariableChange:
    """Return the change that a form with one file is; of an instance the scope is always its own.

    Raises Refused for a body that is no form, InvalidArgument for a form that does not name one binary variable.
    """
    parts = multipart.parse(request.file.data, request.file.content_type)
    files = [part for part in parts if part.is_file]
    if len(files) != 1:
        raise invalid_request("file", f"expected exactly one file, found {len(files)}")
    fields = {part.name: part.data.decode(errors="replace") for part in parts if not part.is_file}
    name, told = request.variable_name or fields.get("name", ""), fields.get("name", "")
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise invalid_request(
            "file", f"expected a field 'name' of 1 to {MAX_NAME_CHARACTERS} characters, found {len(name)}"
        )
    if told and told != name:
        raise invalid_request("file", f"expected name '{name}' as in the path, found '{told}'")
    if fields.get("type", BINARY) != BINARY:
        raise invalid_request("file", f"expected a type of {BINARY}, found '{fields['type']}'")
    is_global = read_scope(fields.get("scope", ""), LOCAL, "file") == GLOBAL and not of_instance
    new = {name: Variable(BINARY, bytes(files[0].data))}
    return VariableChange(
        globals=new if is_global else {},
        locals={} if is_global else new,
        create_only=not request.variable_name,
        update_only=bool(request.variable_name),
        user_id=user_id,
        request_id=request.request_id,
    )


async def say_changed(request: Upload, context: RpcContext) -> None:
    """Let REST answer a change with 200; a creation is 201."""
    if request.variable_name:
        await context.send_initial_metadata(((HTTP_STATUS_KEY, "200"),))


def removed(name: str, scope: str, user_id: str, request_id: str) -> VariableRemoval:
    """Return the removal of one variable, the local one unless the scope is global."""
    return VariableRemoval(names=(name,), scope=read_scope(scope, LOCAL), user_id=user_id, request_id=request_id)


def all_removed(user_id: str, request_id: str) -> VariableRemoval:
    """Return the removal of all local variables."""
    return VariableRemoval(user_id=user_id, request_id=request_id)


def answer(change: VariableChange, owner: str) -> list[variable_pb2.Variable]:
    """Return what was set, the local ones first; `owner` is the path of what it was set on."""
    return [
        write_variable(name, variable, scope, variable_path(owner, name, scope))
        for scope, variables in ((LOCAL, change.locals), (GLOBAL, change.globals))
        for name, variable in variables.items()
    ]


def data(name: str, variable: Variable) -> httpbody_pb2.HttpBody:
    """Return the bytes of a binary variable. Raises NotFound for one of another type."""
    if variable.type != BINARY:
        raise NotFound(
            "variable-not-binary", f"expected variable '{name}' to be binary, found it {variable.type}", name=name
        )
    return httpbody_pb2.HttpBody(content_type="application/octet-stream", data=variable.value)
