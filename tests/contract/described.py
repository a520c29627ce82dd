"""The committed descriptor set as values that are easy to ask."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import flowloom
from flowloom.options.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto
from google.protobuf.message import Message

DESCRIPTORS: Final = Path(flowloom.__path__[0]) / "descriptors.pb"
VARIABLE: Final = re.compile(r"\{([a-z_.]+)(?:=([^}]+))?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One way to call a method over REST."""

    verb: str
    template: str
    body: str

    @property
    def variables(self) -> dict[str, str]:
        """Field name to pattern (`*` where the template tells none)."""
        return {name: pattern or "*" for name, pattern in VARIABLE.findall(self.template)}

    @property
    def shape(self) -> str:
        """Verb and template without names: two methods of one shape make the edge drop both, silently."""
        return f"{self.verb} " + VARIABLE.sub(lambda found: found[2] or "*", self.template).rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """One method of the contract with its options, its comment and its messages."""

    service: str
    name: str
    comment: str
    proto: MethodDescriptorProto
    method: MethodDescriptor

    def __str__(self) -> str:
        return f"{self.service}.{self.name}"

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"

    @property
    def access(self) -> options_pb2.Access | None:
        options = self.proto.options
        return options.Extensions[options_pb2.access] if options.HasExtension(options_pb2.access) else None

    @property
    def http_status(self) -> int:
        return self.proto.options.Extensions[options_pb2.http_status]

    @property
    def read_only(self) -> bool:
        return self.proto.options.Extensions[options_pb2.read_only]

    @property
    def bindings(self) -> tuple[Binding, ...]:
        if not self.proto.options.HasExtension(annotations_pb2.http):
            return ()
        rule = self.proto.options.Extensions[annotations_pb2.http]
        return tuple(
            Binding(verb=verb.upper(), template=getattr(each, verb), body=each.body)
            for each in (rule, *rule.additional_bindings)
            if (verb := each.WhichOneof("pattern")) is not None
        )


@cache
def files() -> tuple[FileDescriptorProto, ...]:
    return tuple(FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file)


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """A pool with nothing but the descriptor set, filled in its order; fails if an import is missing or late."""
    filled = descriptor_pool.DescriptorPool()
    for file in files():
        filled.Add(file)
    for file in files():
        filled.FindFileByName(file.name)
    return filled


@cache
def rpcs() -> tuple[Rpc, ...]:
    return tuple(rpc for file in files() if file.name.startswith("flowloom/") for rpc in _rpcs_of(file))


def _rpcs_of(file: FileDescriptorProto) -> Iterator[Rpc]:
    comments = {tuple(place.path): place.leading_comments.strip() for place in file.source_code_info.location}
    for service_index, service in enumerate(file.service):
        full_name = f"{file.package}.{service.name}"
        methods = pool().FindServiceByName(full_name).methods_by_name
        for method_index, method in enumerate(service.method):
            yield Rpc(
                service=full_name,
                name=method.name,
                # 6 is the number of `service` in a file, 2 that of `method` in a service (descriptor.proto).
                comment=comments.get((6, service_index, 2, method_index), ""),
                proto=method,
                method=methods[method.name],
            )


def reachable(message: Descriptor, seen: set[str] | None = None) -> Iterator[Descriptor]:
    """The message and all that it can contain."""
    seen = set() if seen is None else seen
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    yield message
    for field in message.fields:
        if field.message_type is not None:
            yield from reachable(field.message_type, seen)


def message_class(message: Descriptor) -> type[Message]:
    return message_factory.GetMessageClass(message)
