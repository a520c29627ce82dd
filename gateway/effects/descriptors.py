"""Descriptor sets: read into the contract's values, and completed with what Envoy and reflection need besides."""

from collections.abc import Iterator
from typing import Any, Final

from google.api import (  # type: ignore[import-untyped,unused-ignore]
    annotations_pb2,
    http_pb2,
    httpbody_pb2,
)
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped,unused-ignore]
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from gateway.model.contract import Binding, Contract, Method

_OPTIONS_PACKAGE: Final = "flowloom.options.v1"

#: Files that no service imports but that the transcoder (details of errors) or reflection (health) shows.
_COMPANIONS: Final[tuple[Any, ...]] = (
    status_pb2.DESCRIPTOR,
    error_details_pb2.DESCRIPTOR,
    httpbody_pb2.DESCRIPTOR,
    http_pb2.DESCRIPTOR,
    annotations_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
)

#: JSON that may be a bare number, on which the transcoder waits for more that never comes.
_VALUE_TYPES: Final = frozenset({"google.protobuf.Value"})


_MOMENT: Final = "google.protobuf.Timestamp"


class DescriptorError(Exception):
    """The bytes are not a descriptor set that is complete in itself."""


def read_contract(descriptors: bytes) -> Contract:
    """Return the contract in a FileDescriptorSet that includes its imports, completed with their companions.

    The options of `flowloom.options.v1` are looked up in the set itself, so that
    any contract that brings them is understood.

    Raises:
        DescriptorError: if the bytes cannot be parsed or an import is missing.
    """
    completed = _completed(descriptors)
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in completed.file:
            pool.Add(file)
        services = [
            pool.FindServiceByName(_full_name(file.package, service.name))
            for file in completed.file
            for service in file.service
        ]
    except (KeyError, TypeError) as wrong:
        raise DescriptorError(f"expected a descriptor set with all its imports: {wrong}") from wrong
    for file in completed.file:
        # Comments are for the API description; Envoy and reflection would carry them for nothing.
        file.ClearField("source_code_info")
    options = _Options(pool)
    methods = [_method(method, options) for service in services for method in service.methods]
    return Contract(
        descriptors=completed.SerializeToString(deterministic=True),
        services=tuple(service.full_name for service in services),
        methods=tuple(methods),
    )


def pool_of(contract: Contract) -> descriptor_pool.DescriptorPool:
    """Return a pool of its own with every file of the contract, as server reflection wants it."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(contract.descriptors).file:
        pool.Add(file)
    return pool


def _completed(descriptors: bytes) -> descriptor_pb2.FileDescriptorSet:
    try:
        given = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    except Exception as wrong:
        raise DescriptorError(f"expected the bytes of a FileDescriptorSet: {wrong}") from wrong
    known = {file.name for file in given.file}
    for companion in _COMPANIONS:
        for file in _with_imports(companion):
            if file.name not in known:
                known.add(file.name)
                file.CopyToProto(given.file.add())
    return given


def _with_imports(file: Any) -> Iterator[Any]:
    for imported in file.dependencies:
        yield from _with_imports(imported)
    yield file


def _full_name(package: str, name: str) -> str:
    return f"{package}.{name}" if package else name


class _Options:
    """Method options, read by the types of one descriptor set instead of by generated modules."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        described = pool.FindMessageTypeByName("google.protobuf.MethodOptions")
        self._message: Any = message_factory.GetMessageClass(described)
        self._http: Any = pool.FindExtensionByName("google.api.http")
        self._status = _extension(pool, "http_status")
        self._read_only = _extension(pool, "read_only")
        self._access = _extension(pool, "access")
        self._cache_control = _extension(pool, "cache_control")
        # Creating the classes of extended messages registers the extensions with them.
        fields: tuple[Any, ...] = (self._http, self._status, self._read_only, self._access)
        message_factory.GetMessageClassesForFiles({field.file.name for field in fields if field is not None}, pool)

    def http_rules(self, method: MethodDescriptor) -> Iterator[Any]:
        """Yield the method's rule and its additional bindings."""
        options = self._of(method)
        if options.HasExtension(self._http):
            rule = options.Extensions[self._http]
            yield rule
            yield from rule.additional_bindings

    def http_status(self, method: MethodDescriptor) -> int:
        return int(self._value(method, self._status) or 200)

    def read_only(self, method: MethodDescriptor) -> bool:
        return bool(self._value(method, self._read_only))

    def cache_control(self, method: MethodDescriptor) -> str:
        return str(self._value(method, self._cache_control) or "")

    def privilege(self, method: MethodDescriptor) -> str:
        access = self._value(method, self._access)
        return str(access.privilege) if access is not None else ""

    def public(self, method: MethodDescriptor) -> bool:
        access = self._value(method, self._access)
        return access is not None and bool(access.public) and not access.privilege

    def _value(self, method: MethodDescriptor, extension: Any) -> Any:
        if extension is None:
            return None
        return self._of(method).Extensions[extension]

    def _of(self, method: MethodDescriptor) -> Any:
        return self._message.FromString(method.GetOptions().SerializeToString())


def _extension(pool: descriptor_pool.DescriptorPool, name: str) -> Any | None:
    try:
        return pool.FindExtensionByName(f"{_OPTIONS_PACKAGE}.{name}")
    except KeyError:
        return None


def _method(method: MethodDescriptor, options: _Options) -> Method:
    return Method(
        service=method.containing_service.full_name,
        name=method.name,
        bindings=tuple(_binding(rule, method) for rule in options.http_rules(method)),
        http_status=options.http_status(method),
        read_only=options.read_only(method),
        privilege=options.privilege(method),
        public=options.public(method),
        cache_control=options.cache_control(method),
        streams_requests=method.client_streaming,
        streams_responses=method.server_streaming,
        moments=tuple(field.json_name for field in method.input_type.fields if _type_name(field) == _MOMENT),
    )


def _binding(rule: Any, method: MethodDescriptor) -> Binding:
    pattern = rule.WhichOneof("pattern")
    custom = pattern == "custom"
    body = method.input_type.fields_by_name.get(rule.body) if rule.body not in ("", "*") else None
    answer = method.output_type.fields_by_name.get(rule.response_body) if rule.response_body else None
    return Binding(
        verb=rule.custom.kind if custom else pattern.upper(),
        template=rule.custom.path if custom else getattr(rule, pattern),
        body=rule.body,
        response_body=rule.response_body,
        body_may_be_bare_scalar=body is not None and _may_be_bare_scalar(body),
        body_is_http_body=_type_name(body) == "google.api.HttpBody",
        response_body_is_http_body=_type_name(answer) == "google.api.HttpBody",
    )


def _may_be_bare_scalar(field: FieldDescriptor) -> bool:
    if field.is_repeated:
        return False
    return field.message_type is None or _type_name(field) in _VALUE_TYPES


def _type_name(field: FieldDescriptor | None) -> str:
    return field.message_type.full_name if field is not None and field.message_type is not None else ""
