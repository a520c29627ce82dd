"""Messages of the contract as JSON schemas, the way Envoy writes them as JSON."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Json = dict[str, Any]

_PREFIX: Final = "flowloom."

_STRING: Final[Json] = {"type": "string"}
_LONG: Final[Json] = {"type": "string", "format": "int64"}
_INTEGER: Final[Json] = {"type": "integer", "format": "int32"}
_NUMBER: Final[Json] = {"type": "number"}
_SCALARS: Final[Mapping[int, Json]] = {
    FieldDescriptor.TYPE_STRING: _STRING,
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: _NUMBER,
    FieldDescriptor.TYPE_FLOAT: _NUMBER,
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_INT64: _LONG,
    FieldDescriptor.TYPE_UINT64: _LONG,
    FieldDescriptor.TYPE_SINT64: _LONG,
    FieldDescriptor.TYPE_FIXED64: _LONG,
    FieldDescriptor.TYPE_SFIXED64: _LONG,
}

#: Messages that have a JSON form of their own (protobuf's JSON mapping).
_WELL_KNOWN: Final[Mapping[str, Json]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "description": "Seconds, such as 1.5s."},
    "google.protobuf.FieldMask": _STRING,
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.Any": {"type": "object", "additionalProperties": True},
    "google.protobuf.StringValue": _STRING,
    "google.protobuf.BoolValue": {"type": "boolean"},
    "google.protobuf.Int32Value": _INTEGER,
    "google.protobuf.DoubleValue": _NUMBER,
    "google.api.HttpBody": {"type": "string", "format": "binary"},
}


class Comments:
    """The comments of a descriptor set, by the full names of what they are about."""

    def __init__(self, files: Iterable[descriptor_pb2.FileDescriptorProto]) -> None:
        self._found: dict[str, str] = {}
        for file in files:
            names = dict(_paths(file))
            for location in file.source_code_info.location:
                name = names.get(tuple(location.path))
                if name is not None:
                    text = location.leading_comments or location.trailing_comments
                    self._found[name] = "\n".join(line.removeprefix(" ") for line in text.splitlines()).strip()

    def of(self, full_name: str) -> str:
        """Return the comment, or nothing."""
        return self._found.get(full_name, "")


class Schemas:
    """Schemas of the messages that were asked for, and of all that these hold."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self.found: dict[str, Json] = {}

    def message(self, message: Descriptor) -> Json:
        """Return the schema of a message: a reference, unless JSON has a form of its own for it."""
        known = _WELL_KNOWN.get(message.full_name)
        if known is not None:
            return dict(known)
        name = schema_name(message.full_name)
        if name not in self.found:
            # A message may hold itself: its name stands before its fields are looked at.
            self.found[name] = {}
            self.found[name].update(self.object(message.fields, self._comments.of(message.full_name)))
        return {"$ref": f"#/components/schemas/{name}"}

    def object(self, fields: Iterable[FieldDescriptor], description: str = "") -> Json:
        """Return a schema of some fields of a message."""
        schema: Json = {"type": "object", "properties": {field.json_name: self.field(field) for field in fields}}
        if description:
            schema["description"] = description
        return schema

    def field(self, field: FieldDescriptor) -> Json:
        """Return the schema of a field with its comment."""
        schema = self.bare(field)
        comment = self._comments.of(field.full_name)
        return {**schema, "description": comment} if comment else schema

    def bare(self, field: FieldDescriptor) -> Json:
        """Return the schema of a field without its comment."""
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self.bare(kind.fields_by_name["value"])}
        one = self._one(field)
        return {"type": "array", "items": one} if field.is_repeated else one

    def _one(self, field: FieldDescriptor) -> Json:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return dict(_SCALARS.get(field.type, _INTEGER))

    def _enum(self, enum: EnumDescriptor) -> Json:
        name = schema_name(enum.full_name)
        if name not in self.found:
            lines = [(value.name, self._comments.of(f"{enum.full_name}.{value.name}")) for value in enum.values]
            told = "\n".join(f"- `{value}`: {comment}" for value, comment in lines if comment)
            schema: Json = {"type": "string", "enum": [value for value, _ in lines]}
            description = "\n\n".join(part for part in (self._comments.of(enum.full_name), told) if part)
            self.found[name] = {**schema, "description": description} if description else schema
        return {"$ref": f"#/components/schemas/{name}"}


def schema_name(full_name: str) -> str:
    """Return the name of a schema: `engine.v1.Task`."""
    return full_name.removeprefix(_PREFIX)


def _paths(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Where in a file what is described (`SourceCodeInfo.Location.path`), with full names."""
    package = f"{file.package}." if file.package else ""
    for number, service in enumerate(file.service):
        yield (6, number), package + service.name
        for at, method in enumerate(service.method):
            yield (6, number, 2, at), f"{package}{service.name}.{method.name}"
    for number, message in enumerate(file.message_type):
        yield from _message_paths((4, number), package, message)
    for number, enum in enumerate(file.enum_type):
        yield from _enum_paths((5, number), package, enum)


def _message_paths(
    path: tuple[int, ...], prefix: str, message: descriptor_pb2.DescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = prefix + message.name
    yield path, name
    for number, field in enumerate(message.field):
        yield (*path, 2, number), f"{name}.{field.name}"
    for number, nested in enumerate(message.nested_type):
        yield from _message_paths((*path, 3, number), f"{name}.", nested)
    for number, enum in enumerate(message.enum_type):
        yield from _enum_paths((*path, 4, number), f"{name}.", enum)


def _enum_paths(
    path: tuple[int, ...], prefix: str, enum: descriptor_pb2.EnumDescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = prefix + enum.name
    yield path, name
    for number, value in enumerate(enum.value):
        yield (*path, 2, number), f"{name}.{value.name}"
