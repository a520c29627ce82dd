"""What can be set about caches, from `FLOWLOOM_CACHE_*`."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """Complete and working when nothing is set: each process then caches for itself."""

    url: str = setting("", doc="Redis, such as redis://host:6379/0; empty: memory of the process only.", secret=True)
    prefix: str = setting("flowloom", doc="What keys and the channel in Redis begin with; one for each mesh.")
    timeout_seconds: float = setting(0.1, doc="How long Redis may take; longer counts as away.", minimum=0.001)
    retry_seconds: float = setting(1.0, doc="How long Redis is left alone after it failed.", minimum=0.01)
    heartbeat_seconds: float = setting(1.0, doc="How often the invalidation channel is asked whether it lives.")
    detached_seconds: float = setting(
        2.0, doc="How old an entry may be while invalidations of other processes cannot arrive."
    )
    pending_invalidations: int = setting(
        10_000, doc="Invalidations kept for Redis while it is away; beyond, all of Redis is forgotten.", minimum=1
    )
