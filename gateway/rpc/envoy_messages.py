"""The few messages of Envoy's service contracts that the gateway exchanges with it, made from their field numbers.

The package with all of Envoy's messages (`envoy-data-plane`) needs half a millisecond for one of these in Python,
protobuf's own runtime a few microseconds; a field that is not declared here is skipped when it is read. A test compares
these numbers with that package. Sources: envoy/service/{auth,discovery,ratelimit}/v3.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

_PACKAGE: Final = "flowloom.edge.wire"
_KINDS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
}

#: Fields of each message as `number: "name kind"`; `*` marks a repeated one. Enums travel as int32.
_MESSAGES: Final[Mapping[str, Mapping[int, str]]] = {
    # envoy.service.auth.v3
    "CheckRequest": {1: "attributes Attributes"},
    "Attributes": {1: "source Peer", 4: "request AttributesRequest"},
    "Peer": {1: "address Address"},
    "Address": {1: "socket_address SocketAddress"},
    "SocketAddress": {2: "address string"},
    "AttributesRequest": {2: "http HttpRequest"},
    "HttpRequest": {3: "headers *HeaderEntry", 13: "header_map HeaderMap", 4: "path string"},
    "HeaderEntry": {1: "key string", 2: "value string"},
    "HeaderMap": {1: "headers *HeaderValue"},
    "HeaderValue": {1: "key string", 2: "value string", 3: "raw_value bytes"},
    "CheckResponse": {1: "status Status", 2: "denied_response Denied", 3: "ok_response Ok"},
    "Status": {1: "code int32", 2: "message string"},
    "Ok": {2: "headers *HeaderOption", 5: "headers_to_remove *string"},
    "Denied": {1: "status HttpStatus", 2: "headers *HeaderOption", 3: "body string"},
    "HttpStatus": {1: "code int32"},
    "HeaderOption": {1: "header HeaderValue", 3: "append_action int32"},
    # envoy.service.discovery.v3
    "Node": {1: "id string"},
    "Any": {1: "type_url string", 2: "value bytes"},
    "DiscoveryRequest": {
        1: "version_info string",
        2: "node Node",
        3: "resource_names *string",
        4: "type_url string",
        5: "response_nonce string",
        6: "error_detail Status",
    },
    "DiscoveryResponse": {1: "version_info string", 2: "resources *Any", 4: "type_url string", 5: "nonce string"},
    "DeltaRequest": {
        1: "node Node",
        2: "type_url string",
        3: "resource_names_subscribe *string",
        4: "resource_names_unsubscribe *string",
        5: "initial_resource_versions *Entry",
        6: "response_nonce string",
        7: "error_detail Status",
    },
    "DeltaResponse": {
        1: "system_version_info string",
        2: "resources *NamedResource",
        4: "type_url string",
        5: "nonce string",
        6: "removed_resources *string",
    },
    "NamedResource": {1: "version string", 2: "resource Any", 3: "name string"},
    # envoy.service.ratelimit.v3
    "RateLimitRequest": {1: "domain string", 2: "descriptors *Descriptor", 3: "hits_addend uint32"},
    "Descriptor": {1: "entries *Entry"},
    "Entry": {1: "key string", 2: "value string"},
    "RateLimitResponse": {
        1: "overall_code int32",
        2: "statuses *DescriptorStatus",
        3: "response_headers_to_add *HeaderValue",
    },
    "DescriptorStatus": {
        1: "code int32",
        2: "current_limit Limit",
        3: "limit_remaining uint32",
        4: "duration_until_reset Duration",
    },
    "Limit": {1: "requests_per_unit uint32", 2: "unit int32", 3: "name string"},
    "Duration": {1: "seconds int64", 2: "nanos int32"},
}


def _field(number: int, declared: str) -> FieldDescriptorProto:
    name, _, kind = declared.partition(" ")
    label = FieldDescriptorProto.LABEL_REPEATED if kind.startswith("*") else FieldDescriptorProto.LABEL_OPTIONAL
    kind = kind.removeprefix("*")
    field = FieldDescriptorProto(name=name, number=number, label=label)
    if kind in _KINDS:
        field.type = _KINDS[kind]
    else:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    return field


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="flowloom/edge/wire.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        file.message_type.add(name=name, field=[_field(number, declared) for number, declared in fields.items()])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


class EnvoyMessages:
    """The classes, made once for each servicer that needs them."""

    def __init__(self) -> None:
        classes = _classes()
        self.check_request: Final = classes["CheckRequest"]
        self.check_response: Final = classes["CheckResponse"]
        self.discovery_request: Final = classes["DiscoveryRequest"]
        self.discovery_response: Final = classes["DiscoveryResponse"]
        self.delta_request: Final = classes["DeltaRequest"]
        self.delta_response: Final = classes["DeltaResponse"]
        self.rate_limit_request: Final = classes["RateLimitRequest"]
        self.rate_limit_response: Final = classes["RateLimitResponse"]


#: envoy.config.core.v3.HeaderValueOption.HeaderAppendAction
OVERWRITE_IF_EXISTS_OR_ADD: Final = 2

#: envoy.service.ratelimit.v3.RateLimitResponse.Code and .RateLimit.Unit
LIMIT_OK: Final = 1
LIMIT_OVER: Final = 2
UNIT_MINUTE: Final = 2
