"""The program of a process that renders templates, one request after the other: `python template_worker.py`.

Templates are written by people, and a sandbox keeps them from everything but their values. It cannot keep them from
using up time and memory. A process can be limited: it may have so much memory, and for each request so much time of the
processor; using more of that ends it. It also ends when its pipe is closed.

A request and an answer are four bytes of length and a JSON object. Request: `op` (render or check), `templates` (name
to text), `context`, `characters` (the longest output), `seconds` (of the processor). Answer: `texts` or `error`.
"""

from __future__ import annotations

import json
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO, Final

from jinja2 import StrictUndefined, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

LENGTH: Final = struct.Struct(">I")
MAX_RANGE: Final = 10_000
"""The longest `range` of a template."""
MAX_POWER: Final = 10_000
_HTML: Final = "html"


class _Environment(ImmutableSandboxedEnvironment):
    """A name that does not exist is an error, so that a template that is wrong does not go out with holes."""

    intercepted_binops = frozenset(("**", "*"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Bound what grows faster than it is written."""
        if operator == "**" and isinstance(right, int | float) and abs(right) > MAX_POWER:
            raise SecurityError(f"expected a power of at most {MAX_POWER}, found {right}")
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(times, int) and times > MAX_RANGE:
                    raise SecurityError(f"expected at most {MAX_RANGE} repetitions, found {times}")
        return super().call_binop(context, operator, left, right)


def _bounded_range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MAX_RANGE:
        raise OverflowError(f"expected a range of at most {MAX_RANGE}, found {len(found)}")
    return found


def _environment(*, escapes: bool) -> _Environment:
    found = _Environment(
        autoescape=escapes, undefined=StrictUndefined, keep_trailing_newline=True, auto_reload=False, cache_size=400
    )
    found.globals["range"] = _bounded_range
    for name in ("lipsum", "cycler", "joiner"):
        found.globals.pop(name, None)
    return found


class _Renderer:
    def __init__(self) -> None:
        self._plain = _environment(escapes=False)
        self._html = _environment(escapes=True)
        self._known: dict[tuple[bool, str], Any] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer within the request's seconds of the processor; SIGPROF ends the process otherwise.

        Not of the clock on the wall: on a busy machine that would be the machine's fault and not the template's.
        """
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])
        try:
            return self._answer(request)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        texts = {}
        for name, source in request["templates"].items():
            try:
                template = self._compiled(name == _HTML, source)
                if request["op"] == "render":
                    texts[name] = self._render(template, request["context"], request["characters"])
            except TemplateError as error:
                line = getattr(error, "lineno", None)
                where = f"{name}, line {line}" if line else name
                return {"error": f"{where}: {type(error).__name__}: {error.message}"}
            except RecursionError:
                return {"error": f"{name}: expected less nesting, found too much"}
            except MemoryError:
                return {"error": f"{name}: expected less memory to be enough (setting: render_memory_bytes)"}
            except Exception as error:  # whatever a template does wrong is its own fault
                return {"error": f"{name}: {type(error).__name__}: {error}"}
        return {"texts": texts}

    def _compiled(self, escapes: bool, source: str) -> Any:
        key = (escapes, source)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= 400:
                self._known.clear()
            found = self._known[key] = (self._html if escapes else self._plain).from_string(source)
        return found

    @staticmethod
    def _render(template: Any, context: dict[str, Any], limit: int) -> str:
        parts: list[str] = []
        length = 0
        for part in template.generate(context):
            length += len(part)
            if length > limit:
                raise OverflowError(f"expected at most {limit} characters (setting: output_characters), found more")
            parts.append(part)
        return "".join(parts)


def _read(stream: BinaryIO) -> dict[str, Any] | None:
    header = stream.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    body = stream.read(LENGTH.unpack(header)[0])
    found: dict[str, Any] = json.loads(body)
    return found


def main() -> None:
    """Answer until the pipe is closed. The first argument is the limit of memory in bytes."""
    # Who stops the mesh from a terminal stops its parent, which ends this process in its turn.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    renderer = _Renderer()
    while (request := _read(sys.stdin.buffer)) is not None:
        body = json.dumps(renderer.answer(request)).encode()
        sys.stdout.buffer.write(LENGTH.pack(len(body)) + body)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
