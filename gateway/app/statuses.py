"""Which HTTP status, phrase and reason an error has at the REST face.

The phrases are Flowable's. Two statuses differ from the canonical mapping of gRPC codes: FAILED_PRECONDITION
is 409 here (a suspended definition, a task that is already done: the request is right, the state is not), and
what Flowable answers with 500 because transactions collided does not exist.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class RestError:
    """One gRPC code at the REST face."""

    code: int
    name: str
    http_status: int


#: By canonical code (RPC specification, google.rpc.Code).
REST_ERRORS: Final = tuple(
    RestError(code=code, name=name, http_status=status)
    for code, name, status in (
        (1, "CANCELLED", 499),
        (2, "UNKNOWN", 500),
        (3, "INVALID_ARGUMENT", 400),
        (4, "DEADLINE_EXCEEDED", 504),
        (5, "NOT_FOUND", 404),
        (6, "ALREADY_EXISTS", 409),
        (7, "PERMISSION_DENIED", 403),
        (8, "RESOURCE_EXHAUSTED", 429),
        (9, "FAILED_PRECONDITION", 409),
        (10, "ABORTED", 409),
        (11, "OUT_OF_RANGE", 400),
        (12, "UNIMPLEMENTED", 501),
        (13, "INTERNAL", 500),
        (14, "UNAVAILABLE", 503),
        (15, "DATA_LOSS", 500),
        (16, "UNAUTHENTICATED", 401),
    )
)

#: What Flowable writes into `message`; the text of the error itself stands in `exception`.
PHRASES: Final = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    408: "Request timeout",
    409: "Conflict",
    413: "Content too large",
    415: "Content is not supported",
    429: "Too many requests",
    431: "Request header fields too large",
    499: "Client closed request",
    500: "Internal server error",
    501: "Not implemented",
    503: "Service unavailable",
    504: "Gateway timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeReply:
    """What the edge answers by itself for one HTTP status, without asking a service."""

    http_status: int
    code: str
    reason: str


EDGE_REPLIES: Final = tuple(
    EdgeReply(http_status=status, code=code, reason=reason)
    for status, code, reason in (
        (400, "INVALID_ARGUMENT", "malformed-request"),
        (401, "UNAUTHENTICATED", "not-authenticated"),
        (403, "PERMISSION_DENIED", "not-permitted"),
        (404, "NOT_FOUND", "unknown-path"),
        (408, "DEADLINE_EXCEEDED", "request-timeout"),
        (413, "RESOURCE_EXHAUSTED", "body-too-large"),
        (415, "INVALID_ARGUMENT", "content-not-supported"),
        (429, "RESOURCE_EXHAUSTED", "too-many-requests"),
        (431, "RESOURCE_EXHAUSTED", "headers-too-large"),
        (500, "INTERNAL", "edge-failure"),
        (503, "UNAVAILABLE", "service-unavailable"),
        (504, "DEADLINE_EXCEEDED", "deadline-exceeded"),
    )
)
