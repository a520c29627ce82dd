"""Which processes of a service get requests: those that its names stand for and that say that they work."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Protocol

from gateway.model.snapshot import Endpoint
from gateway.model.targets import Target
from gateway.settings import FollowSettings

_log: Final = logging.getLogger(__name__)


class Health(Enum):
    """What a process says when it is asked."""

    SERVING = "serving"
    LEAVING = "leaving"
    """It answers that it wants no more requests."""
    SILENT = "silent"


class Lookup(Protocol):
    """Finds the addresses behind a name."""

    async def __call__(self, host: str) -> Sequence[str]:
        """Return IP addresses, in any order; an address stands for itself. Raises OSError if there is none."""
        ...


class Ask(Protocol):
    """Asks a process for its health."""

    async def __call__(self, endpoint: Endpoint) -> Health:
        """Return what it says; never raises."""
        ...

    def forget(self, endpoints: Sequence[Endpoint]) -> None:
        """Keep nothing for processes that are gone."""
        ...


class Following:
    """The processes of every service, as found by the last `look`.

    One that says it is leaving goes at once, one that is silent after some strikes. The last ones are kept even then,
    and so is the last answer of a name that cannot be looked up: if it is we who cannot reach anybody, Envoy, which
    asks for health by itself, shall not lose everybody because of that.
    """

    def __init__(
        self, targets: Mapping[str, Sequence[Target]], lookup: Lookup, ask: Ask, settings: FollowSettings
    ) -> None:
        """`targets` go by the name of their cluster."""
        self._targets = dict(targets)
        self._lookup = lookup
        self._ask = ask
        self._settings = settings
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._strikes: dict[Endpoint, int] = {}
        self.endpoints: dict[str, tuple[Endpoint, ...]] = dict.fromkeys(targets, ())

    async def look(self) -> bool:
        """Look up and ask everybody once; return whether anything is other than before."""
        found = await asyncio.gather(*(self._candidates(targets) for targets in self._targets.values()))
        candidates = dict(zip(self._targets, found, strict=True))
        everybody = sorted({endpoint for endpoints in found for endpoint in endpoints})
        answers = dict(zip(everybody, await asyncio.gather(*map(self._ask, everybody)), strict=True))
        self._ask.forget([endpoint for endpoint in self._strikes if endpoint not in answers])
        self._strikes = {endpoint: self._struck(endpoint, health) for endpoint, health in answers.items()}
        changed = False
        for name, endpoints in candidates.items():
            chosen = self._chosen(name, endpoints)
            if chosen != self.endpoints[name]:
                _log.info("%s is served by %s", name, ", ".join(f"{e.address}:{e.port}" for e in chosen) or "nobody")
                self.endpoints[name], changed = chosen, True
        return changed

    def _struck(self, endpoint: Endpoint, health: Health) -> int:
        if health is Health.SERVING:
            return 0
        # One that was never seen at work has used up its strikes.
        before = self._strikes.get(endpoint, self._settings.strikes)
        return self._settings.strikes if health is Health.LEAVING else before + 1

    def _chosen(self, name: str, candidates: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
        working = tuple(each for each in candidates if self._strikes[each] < self._settings.strikes)
        if working or not candidates:
            return working or self.endpoints[name]
        kept = tuple(each for each in self.endpoints[name] if each in candidates)
        return kept or tuple(candidates)

    async def _candidates(self, targets: Sequence[Target]) -> tuple[Endpoint, ...]:
        found: set[Endpoint] = set()
        for target in targets:
            try:
                addresses = tuple(await self._lookup(target.host))
                self._addresses[target.host] = addresses
            except OSError as unknown:
                addresses = self._addresses.get(target.host, ())
                _log.warning("%s cannot be looked up: %s", target.host, unknown)
            found.update(Endpoint(address=address, port=target.port) for address in addresses)
        return tuple(sorted(found)[: self._settings.max_processes])
