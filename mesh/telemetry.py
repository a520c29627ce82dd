"""What a process tells about itself: JSON log lines that say which request they belong to, and metrics.

The ids of a request are read from the call's metadata only when a line is logged, so that a call that logs nothing pays
for nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID_KEY: Final = "x-request-id"
TRACE_KEY: Final = "traceparent"

PROCESS_INSTANCES_TOTAL: Final = "flowable_process_instances_total"
"""Counter; labels status, process_definition_key."""
TASKS_TOTAL: Final = "flowable_tasks_total"
"""Counter; labels status, type."""
PROCESS_DURATION_SECONDS: Final = "flowable_process_duration_seconds"
"""Histogram; label process_definition_key."""
TASK_DURATION_SECONDS: Final = "flowable_task_duration_seconds"
"""Histogram; label type."""
ACTIVE_PROCESS_INSTANCES: Final = "flowable_active_process_instances"
"""Gauge."""
PENDING_TASKS: Final = "flowable_pending_tasks"
"""Gauge."""
ERRORS_TOTAL: Final = "flowable_errors_total"
"""Counter; label kind."""

RPC_BUCKETS_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram of calls."""

call_context: ContextVar[RpcContext | None] = ContextVar("call_context", default=None)
"""The call that is being served, set by the guard."""

_bound: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("bound", default=())


@contextlib.contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Add these ids, such as `instance_id`, to every line logged inside, in this task and those it starts."""
    token = _bound.set(tuple((dict(_bound.get()) | ids).items()))
    try:
        yield
    finally:
        _bound.reset(token)


def outgoing_metadata() -> tuple[tuple[str, str], ...]:
    """Return the metadata that carries the ids of the call being served on to another service."""
    context = call_context.get()
    if context is None:
        return ()
    given: Iterable[Any] = context.invocation_metadata() or ()
    return tuple((key, value) for key, value in given if key in (REQUEST_ID_KEY, TRACE_KEY))


class JsonFormatter(logging.Formatter):
    """One line of JSON for each record: time, level, logger, message, the ids, the traceback if there is one.

    Fields: `time` (UTC, RFC 3339), `level`, `logger`, `message`; where known `request_id`, `trace_id`, `instance_id`,
    `incident_id` and what else was bound; `exception`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        fields: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in outgoing_metadata():
            if key == REQUEST_ID_KEY:
                fields["request_id"] = value
            elif value.count("-") == 3:
                # W3C Trace Context: version - trace id - parent id - flags.
                fields["trace_id"] = value.split("-")[1]
        fields.update(_bound.get())
        incident_id = getattr(record, "incident_id", None)
        if incident_id is not None:
            fields["incident_id"] = incident_id
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def log_as_json(level: str = "INFO", stream: TextIO | None = None) -> logging.Handler:
    """Have everything that is logged in this process go to the stream (standard error) as JSON; returns the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    return handler


class RpcMetrics(Collector):
    """Counts the calls served, and how long they took; a `mesh.guard.Observer`.

    Gives `grpc_server_handled_total{grpc_service,grpc_method,grpc_code}` and the histogram
    `grpc_server_handling_seconds{grpc_service,grpc_method}`. Plain numbers on the event loop's thread: an observation
    costs less than a microsecond, where the library's own locked counter and histogram cost several.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Report through this registry."""
        self._codes: dict[tuple[str, grpc.StatusCode], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        registry.register(self)

    def __call__(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Take note of a call of `/package.Service/Method`."""
        key = (method, code)
        self._codes[key] = self._codes.get(key, 0) + 1
        buckets = self._buckets.get(method)
        if buckets is None:
            buckets = self._buckets[method] = [0] * (len(RPC_BUCKETS_SECONDS) + 1)
            self._seconds[method] = 0.0
        buckets[bisect_left(RPC_BUCKETS_SECONDS, seconds)] += 1
        self._seconds[method] += seconds

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering collects nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the present counts."""
        handled = CounterMetricFamily(
            "grpc_server_handled", "Calls served.", labels=("grpc_service", "grpc_method", "grpc_code")
        )
        for (method, code), count in tuple(self._codes.items()):
            handled.add_metric((*_names(method), code.name), count)
        yield handled
        took = HistogramMetricFamily(
            "grpc_server_handling_seconds", "How long calls took.", labels=("grpc_service", "grpc_method")
        )
        bounds = (*(str(bound) for bound in RPC_BUCKETS_SECONDS), "+Inf")
        for method, buckets in tuple(self._buckets.items()):
            total = 0
            cumulated: list[tuple[str, float]] = []
            for upper, count in zip(bounds, buckets, strict=True):
                total += count
                cumulated.append((upper, total))
            took.add_metric(_names(method), cumulated, self._seconds[method])
        yield took


def _names(method: str) -> tuple[str, str]:
    service, _, name = method.lstrip("/").rpartition("/")
    return service, name
