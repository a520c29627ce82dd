"""Envoy's admin interface: readiness, what it has taken and refused of its configuration, and the steps of a drain."""

from dataclasses import dataclass
from typing import Any, Final

import httpx

_REQUEST_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What Envoy runs with now. Versions are those of the files; empty means: none yet."""

    clusters_version: str
    listeners_version: str
    routes_version: str
    refused: int
    warming_listeners: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Numbers of requests under way and of open connections, idle ones included."""

    requests: int
    connections: int


class EnvoyAdmin:
    """The admin interface of one Envoy process at `http://127.0.0.1:<port>`."""

    def __init__(self, url: str) -> None:
        self.url: Final = url
        self._client = httpx.AsyncClient(base_url=url, timeout=_REQUEST_SECONDS, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ready(self) -> bool:
        """Return whether Envoy serves: false while it starts, drains, or cannot be reached."""
        try:
            answer = await self._client.get("/ready")
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    async def taken(self) -> Taken:
        """Return the versions in use and how many updates were refused so far."""
        wanted = r"version_text$|update_rejected$|total_listeners_warming$"
        answer = await self._client.get("/stats", params={"filter": wanted})
        values = _values(answer.text)
        return Taken(
            clusters_version=_text(values, "cluster_manager.cds.version_text"),
            listeners_version=_text(values, "listener_manager.lds.version_text"),
            routes_version=_text(values, "http.edge.rds.edge.version_text"),
            refused=sum(int(value) for name, value in values.items() if name.endswith("update_rejected")),
            warming_listeners=int(values.get("listener_manager.total_listeners_warming", "0")),
        )

    async def active_clusters(self) -> frozenset[str]:
        """Return the names of the clusters that can be routed to (a warming one cannot)."""
        answer = await self._client.get("/clusters", params={"format": "json"})
        return frozenset(cluster["name"] for cluster in answer.json().get("cluster_statuses", ()))

    async def refusals(self) -> tuple[str, ...]:
        """Return why resources were refused, in Envoy's words."""
        answer = await self._client.get("/config_dump", params={"include_eds": ""})
        return tuple(dict.fromkeys(_details(answer.json())))

    async def activity(self) -> Activity:
        """Return what is under way at the edge's listener."""
        answer = await self._client.get("/stats", params={"filter": r"^http\.edge\.downstream_(rq|cx)_active$"})
        values = _values(answer.text)
        return Activity(
            requests=int(values.get("http.edge.downstream_rq_active", "0")),
            connections=int(values.get("http.edge.downstream_cx_active", "0")),
        )

    async def fail_health(self) -> None:
        """Make `/ready` fail from now on, and let every answer ask its client to connect anew."""
        await self._client.post("/healthcheck/fail")

    async def stop_listening(self) -> None:
        """Close the listening sockets; connections and the requests on them go on."""
        await self._client.post("/drain_listeners")


def _values(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def _text(values: dict[str, str], name: str) -> str:
    return values.get(name, "").strip('"')


def _details(part: Any) -> list[str]:
    """Collect the `details` of every `error_state`, wherever in the dump it stands."""
    found: list[str] = []
    if isinstance(part, dict):
        state = part.get("error_state")
        if isinstance(state, dict) and state.get("details"):
            found.append(str(state["details"]))
        for value in part.values():
            found.extend(_details(value))
    elif isinstance(part, list):
        for value in part:
            found.extend(_details(value))
    return found
