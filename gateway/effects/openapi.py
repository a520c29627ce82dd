"""The REST interface as OpenAPI 3.1, made from the descriptor set: bindings, comments, statuses, access."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from gateway.app.statuses import PHRASES, REST_ERRORS
from gateway.effects.openapi_schemas import Comments, Json, Schemas
from gateway.model.contract import Binding, Contract, Method

_PACKAGE: Final = "flowloom."
#: A variable of a template with its pattern, if it has one; and the name of a variable without a pattern.
_VARIABLE: Final = re.compile(r"\{([^={}]+)(?:=([^{}]*))?\}")
_NAME: Final = re.compile(r"\{([^{}]+)\}")
_HTTP_BODY: Final = "google.api.HttpBody"
_ERROR: Final = {"$ref": "#/components/responses/Error"}
#: How deep messages in a query are written out (`filter.assignee`); deeper ones are for bodies.
_QUERY_DEPTH: Final = 2

_SECURITY: Final[Json] = {
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The access token of a login."},
    "password": {"type": "http", "scheme": "basic", "description": "User id and password."},
    "apiToken": {"type": "http", "scheme": "bearer", "description": "An API token: it begins with flt_."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API token, too."},
}


def openapi(descriptors: bytes, contract: Contract, services: Iterable[str], *, version: str) -> Json:
    """Return the document for all methods of these services that have a REST binding.

    `descriptors` are the bytes of the set that the contract was read from, comments included.
    """
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
    return _Document(Comments(files), contract).written(services, version)


class _Document:
    def __init__(self, comments: Comments, contract: Contract) -> None:
        self._comments = comments
        self._contract = contract
        self._schemas = Schemas(comments)
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(contract.descriptors).file:
            self._pool.Add(file)

    def written(self, services: Iterable[str], version: str) -> Json:
        paths: dict[str, Json] = {}
        shapes: dict[str, str] = {}
        tags = []
        for service in services:
            bound = [method for method in self._contract.methods_of(service) if method.bindings]
            if not bound:
                continue
            tags.append({"name": _tag(service), "description": self._comments.of(service)})
            for method in bound:
                for number, binding in enumerate(method.bindings):
                    # Two methods of one path may call its variables by different names; OpenAPI wants one path.
                    plain = _plain(binding.template)
                    path = shapes.setdefault(_NAME.sub("{}", plain), plain)
                    operation = self._operation(method, binding, number, _NAME.findall(path))
                    paths.setdefault(path, {})[binding.verb.lower()] = operation
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Flowloom",
                "version": version,
                "description": "The REST face of the contract. Paths, bodies and lists follow Flowable's REST API; "
                "`/process-api` answers under `/service` and `/flowable-rest/service`, too.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": tags,
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": {**dict(sorted(self._schemas.found.items())), "Error": _error_schema()},
                "responses": {"Error": _error_response()},
                "securitySchemes": _SECURITY,
            },
        }

    def _operation(self, method: Method, binding: Binding, number: int, names: list[str]) -> Json:
        described = self._method(method)
        comment = self._comments.of(described.full_name)
        taken = [name for name, _ in _VARIABLE.findall(binding.template)]
        operation: Json = {
            "operationId": f"{_tag(method.service)}.{method.name}{f'.{number + 1}' if number else ''}",
            "tags": [_tag(method.service)],
            "summary": _first_sentence(comment) or method.name,
            "description": "\n\n".join(part for part in (comment, _needs(method)) if part),
            "parameters": [
                *self._path_parameters(described.input_type, _NAME.findall(_plain(binding.template)), names),
                *self._query_parameters(described.input_type, binding, taken),
            ],
            "responses": self._responses(method, described),
            "security": [] if method.public else [{name: []} for name in _SECURITY],
            "x-grpc-method": method.path,
        }
        if method.privilege:
            operation["x-privilege"] = method.privilege
        body = self._body(described.input_type, binding, taken)
        return {**operation, "requestBody": body} if body is not None else operation

    def _path_parameters(self, request: Descriptor, taken: list[str], names: list[str]) -> Iterator[Json]:
        for field_name, name in zip(taken, names, strict=True):
            field = request.fields_by_name[field_name]
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "schema": self._schemas.bare(field),
                "description": self._comments.of(field.full_name),
            }

    def _query_parameters(self, request: Descriptor, binding: Binding, taken: list[str]) -> Iterator[Json]:
        if binding.body == "*":
            return
        for field in request.fields:
            if field.name not in taken and field.name != binding.body:
                yield from self._query_parameter(field, "", _QUERY_DEPTH)

    def _query_parameter(self, field: FieldDescriptor, prefix: str, depth: int) -> Iterator[Json]:
        name, message = prefix + field.json_name, field.message_type
        if message is not None and message.full_name.startswith(_PACKAGE):
            if depth and not field.is_repeated and not message.GetOptions().map_entry:
                for inner in message.fields:
                    yield from self._query_parameter(inner, f"{name}.", depth - 1)
            return
        schema, comment = self._schemas.bare(field), self._comments.of(field.full_name)
        yield {"name": name, "in": "query", "required": False, "schema": schema, "description": comment}

    def _body(self, request: Descriptor, binding: Binding, taken: list[str]) -> Json | None:
        if not binding.body:
            return None
        if binding.body != "*":
            field = request.fields_by_name[binding.body]
            if field.message_type is not None and field.message_type.full_name == _HTTP_BODY:
                return {"required": True, "content": _anything()}
            return {"required": True, "content": _json(self._schemas.bare(field))}
        fields = [field for field in request.fields if field.name not in taken]
        if not taken:
            return {"required": True, "content": _json(self._schemas.message(request))}
        return {"required": True, "content": _json(self._schemas.object(fields))} if fields else None

    def _responses(self, method: Method, described: MethodDescriptor) -> Json:
        status = method.http_status
        success: Json = {"description": PHRASE_OF_SUCCESS.get(status, "Success")}
        if status != 204:
            answer = described.output_type
            if answer.full_name == _HTTP_BODY:
                success["content"] = _anything()
            else:
                schema = self._schemas.message(answer)
                success["content"] = _json({"type": "array", "items": schema} if described.server_streaming else schema)
        failures = {"400": _ERROR} if method.public else {"400": _ERROR, "401": _ERROR, "403": _ERROR}
        return {str(status): success, **failures, "default": _ERROR}

    def _method(self, method: Method) -> MethodDescriptor:
        return self._pool.FindServiceByName(method.service).methods_by_name[method.name]


PHRASE_OF_SUCCESS: Final = {200: "OK", 201: "Created", 202: "Accepted", 204: "No content"}


def _tag(service: str) -> str:
    return service.rpartition(".")[2].removesuffix("Service")


def _plain(template: str) -> str:
    """Return a template without patterns; a variable that can only be one text is that text."""

    def written(found: re.Match[str]) -> str:
        name, pattern = found.group(1), found.group(2) or "*"
        return f"{{{name}}}" if "*" in pattern else pattern

    return _VARIABLE.sub(written, template)


def _first_sentence(comment: str) -> str:
    text = " ".join(comment.split())
    found = re.search(r"[.:](?= |$)", text)
    return text[: found.start()] if found is not None else text


def _needs(method: Method) -> str:
    return "Needs no token." if method.public else f"Needs the privilege `{method.privilege}`."


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _anything() -> Json:
    return {"*/*": {"schema": {"type": "string", "format": "binary"}}}


def _error_schema() -> Json:
    def text(description: str) -> Json:
        return {"type": "string", "description": description}

    return {
        "type": "object",
        "description": "What every failure answers.",
        "properties": {
            "message": text("The meaning of the status: " + ", ".join(f"{k} {v}" for k, v in PHRASES.items()) + "."),
            "exception": text("What was expected and what was found."),
            "code": {"type": "string", "enum": [error.name for error in REST_ERRORS]},
            "reason": text("A stable word for programs, such as task-not-active."),
        },
        "required": ["message", "exception", "code", "reason"],
    }


def _error_response() -> Json:
    schema: dict[str, Any] = {"$ref": "#/components/schemas/Error"}
    return {"description": "A failure", "content": _json(schema)}
