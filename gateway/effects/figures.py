"""What the gateway tells about itself to Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.app.control_plane import ControlPlane
from gateway.app.counting import CountRequests
from gateway.app.exchanging import ExchangeCache


class RequestFigures(Collector):
    """Exchanges by who answered them, and requests that could not be counted."""

    def __init__(self, exchanges: ExchangeCache | None, counting: CountRequests | None) -> None:
        self._exchanges = exchanges
        self._counting = counting

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of now."""
        if self._exchanges is not None:
            exchanges = CounterMetricFamily(
                "flowloom_edge_exchanges", "Credentials exchanged for a token.", labels=["answered_by"]
            )
            exchanges.add_metric(["memory"], self._exchanges.hits)
            exchanges.add_metric(["identity"], self._exchanges.misses)
            yield exchanges
        if self._counting is not None:
            yield CounterMetricFamily(
                "flowloom_edge_uncounted_requests",
                "Requests let through uncounted, since Redis did not answer.",
                value=self._counting.uncounted,
            )


class PlaneFigures(Collector):
    """Connected Envoys, and configurations that they refused."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of now."""
        yield GaugeMetricFamily("flowloom_edge_envoys", "Envoys on the stream.", value=self._plane.envoys)
        yield CounterMetricFamily(
            "flowloom_edge_refused_configurations", "Resources that an Envoy refused.", value=self._plane.refusals
        )
