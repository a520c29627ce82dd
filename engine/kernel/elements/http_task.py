"""HTTP task (`type="http"`): the request is a job, done outside of any transaction; the answer comes back as a command.

Fields and result variables as Flowable's: `<prefix>ResponseBody`, `…StatusCode` and so on. A status listed under
handleStatusCodes becomes the BPMN error `HTTP<code>`; one under failStatusCodes fails the job.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.kernel.definition import ElementKind, Family, Node, Wake
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.reading import Problem, Reader, Source, read_fields
from engine.kernel.state import HTTP

HANDLER: Final = "http-request"
METHODS: Final = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
DEFAULT_TIMEOUT_MS: Final = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTask:
    fields: dict[str, Expression]


def _read(source: Source, reader: Reader) -> HttpTask:
    fields: dict[str, Expression] = {}
    for name, text in read_fields(source).items():
        parsed = reader.expression(source, text, f"field '{name}'")
        if parsed is not None:
            fields[name] = parsed
    return HttpTask(fields=fields)


def _check(node: Node) -> Iterator[Problem]:
    fields = node.props.fields
    if "requestUrl" not in fields:
        yield Problem(element_id=node.id, message="expected the field requestUrl, found none", line=node.line)
    method = fields.get("requestMethod")
    if method is not None and method.is_literal and method.text.strip().upper() not in METHODS:
        yield Problem(
            element_id=node.id, message=f"expected an HTTP method, found '{method.text.strip()}'", line=node.line
        )


def _enter(here: Here) -> None:
    fields = here.node.props.fields
    request: dict[str, Any] = {
        "method": (here.text(fields.get("requestMethod")) or "GET").upper(),
        "url": here.text(fields.get("requestUrl")),
        "headers": here.text(fields.get("requestHeaders")) + "\n" + here.text(fields.get("requestSecureHeaders")),
        "body": here.text(fields.get("requestBody")),
        "timeout_ms": int(here.text(fields.get("requestTimeout")) or DEFAULT_TIMEOUT_MS),
        "follow_redirects": here.text(fields.get("disallowRedirects")).lower() != "true",
        "fail_codes": _codes(here, "failStatusCodes"),
        "handle_codes": _codes(here, "handleStatusCodes"),
        "ignore_error": here.text(fields.get("ignoreException")).lower() == "true",
    }
    if request["method"] not in METHODS:
        raise here.refuse("bad-http-method", f"expected an HTTP method, found '{request['method']}'")
    here.schedule(HTTP, HANDLER, payload={"request": request})


def _codes(here: Here, field: str) -> list[str]:
    return [code.strip().upper() for code in here.text(here.node.props.fields.get(field)).split(",") if code.strip()]


def _wake(here: Here, wake: Wake) -> None:
    """`wake.variables` are the answer: status_code, reason, body, headers, error."""
    fields = here.node.props.fields
    answer = {name: getattr(value, "value", value) for name, value in wake.variables.items()}
    prefix = here.text(fields.get("resultVariablePrefix")) or here.node.id
    local = here.text(fields.get("saveResponseParametersTransient")).lower() == "true"
    put = here.set_transient if local else here.set_variable
    body = answer.get("body")
    put(here.text(fields.get("responseVariableName")) or f"{prefix}ResponseBody", body)
    if here.text(fields.get("saveResponseParameters")).lower() == "true":
        put(f"{prefix}ResponseStatusCode", answer.get("status_code"))
        put(f"{prefix}ResponseReason", answer.get("reason"))
        put(f"{prefix}ResponseHeaders", answer.get("headers"))
        put(f"{prefix}ResponseProtocol", answer.get("protocol"))
    if answer.get("error"):
        put(f"{prefix}ErrorMessage", answer["error"])
    if here.text(fields.get("saveRequestVariables")).lower() == "true":
        put(f"{prefix}RequestMethod", here.text(fields.get("requestMethod")) or "GET")
        put(f"{prefix}RequestUrl", here.text(fields.get("requestUrl")))
    here.leave()


KIND: Final = ElementKind(
    tag="serviceTask",
    variant="http",
    type="httpTask",
    family=Family.TASK,
    read=_read,
    check=_check,
    enter=_enter,
    wake=_wake,
)
