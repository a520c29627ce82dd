"""The contract as the edge sees it: which methods there are, and which HTTP requests they answer."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_VARIABLE: Final = re.compile(r"\{[^={}]+(?:=([^{}]*))?\}")


class RouteClass(StrEnum):
    """What methods are counted together when rates are limited."""

    READ = "read"
    WRITE = "write"
    LOGIN = "login"
    """Public and not only reading: what anybody can make the mesh work for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One `google.api.http` rule of a method (additional bindings are bindings of their own).

    `verb` is in upper case, `template` as written. `body` is empty, `*` or the name of a request field.
    """

    verb: str
    template: str
    body: str = ""
    response_body: str = ""
    body_may_be_bare_scalar: bool = False
    body_is_http_body: bool = False
    response_body_is_http_body: bool = False

    @property
    def matched(self) -> str:
        """What the transcoder distinguishes requests by: verb and path, variables replaced by what they match.

        `/x/{id}`, `/x/{task_id}` and `/x/{id=*}` are one and the same.
        """
        return f"{self.verb} {_VARIABLE.sub(lambda found: found.group(1) or '*', self.template).rstrip('/')}"

    @property
    def root(self) -> str:
        """First segment of the path, between slashes: `/process-api/`."""
        first = self.template.lstrip("/").split("/", 1)[0].split(":", 1)[0]
        return f"/{first}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One RPC. `http_status` is what REST answers on success (200 if the contract names none).

    `public` methods need no token, others the `privilege` of their contract. `cache_control` is what a success says
    over REST about being kept (empty: that it must not be). `moments`: the timestamps among the fields of its request,
    by their names in JSON.
    """

    service: str
    name: str
    bindings: tuple[Binding, ...] = ()
    http_status: int = 200
    read_only: bool = False
    privilege: str = ""
    public: bool = False
    cache_control: str = ""
    streams_requests: bool = False
    streams_responses: bool = False
    moments: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The HTTP/2 path of the RPC: `/package.Service/Method`."""
        return f"/{self.service}/{self.name}"

    @property
    def long_lived(self) -> bool:
        """Whether a call may go on for hours.

        A stream of answers with a REST binding is not meant so: it is how the contract writes a bare JSON array.
        """
        return self.streams_requests or (self.streams_responses and not self.bindings)

    @property
    def route_class(self) -> RouteClass:
        """Which of the rates holds for this method."""
        if self.public and not self.read_only:
            return RouteClass.LOGIN
        return RouteClass.READ if self.read_only else RouteClass.WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A descriptor set (`descriptors`: the bytes of a FileDescriptorSet, imports included) and what it says."""

    descriptors: bytes
    services: tuple[str, ...]
    methods: tuple[Method, ...]

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the descriptors: part of their file's name.

        Envoy reads a descriptor file once per listener configuration, so new content needs a new name.
        """
        return hashlib.sha256(self.descriptors).hexdigest()[:16]

    def methods_of(self, service: str) -> tuple[Method, ...]:
        """The methods of one service, in the order of the contract."""
        return tuple(method for method in self.methods if method.service == service)
