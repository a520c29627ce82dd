"""Counters in Redis: all of a request in one script, and no request waits for a Redis that does not answer."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from gateway.app.counting import Addition
from gateway.settings import RateSettings

_log: Final = logging.getLogger(__name__)

#: A counter gets its end when it begins, so that none is left behind without one.
_SCRIPT: Final = """
local counts = {}
for i, name in ipairs(KEYS) do
  counts[i] = redis.call('INCRBY', name, ARGV[2 * i - 1])
  if counts[i] == tonumber(ARGV[2 * i - 1]) then redis.call('EXPIRE', name, ARGV[2 * i]) end
end
return counts
"""


class RedisCounters:
    """Counters of one Redis. After a failure it is left alone for a while: the limits are open meanwhile."""

    def __init__(self, settings: RateSettings, elapsed: Callable[[], float]) -> None:
        """`elapsed` counts seconds."""
        timeout = settings.redis_timeout_seconds
        pool: Any = BlockingConnectionPool.from_url(
            settings.redis_url,
            max_connections=settings.redis_connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
        )
        self._redis: Any = Redis(connection_pool=pool)
        self._script: Any = self._redis.register_script(_SCRIPT)
        self._pause_seconds = settings.redis_pause_seconds
        self._elapsed = elapsed
        self._away_until = float("-inf")

    async def add(self, additions: Sequence[Addition]) -> Sequence[int] | None:
        """Raise the counters and return what they say now; None if Redis does not answer."""
        if self._elapsed() < self._away_until:
            return None
        arguments = [number for each in additions for number in (each.hits, each.expires_in_seconds)]
        try:
            found = await self._script(keys=[each.name for each in additions], args=arguments)
        except (RedisError, OSError, TimeoutError) as failure:
            self._away_until = self._elapsed() + self._pause_seconds
            _log.warning("requests are not counted: Redis does not answer (%s)", type(failure).__name__)
            return None
        return [int(count) for count in found]

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
