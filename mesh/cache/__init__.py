"""Two levels of cache: this process's memory, then Redis, then the source; an invalidation reaches every replica.

Losing Redis costs speed and, for `detached_seconds`, freshness; it never costs an answer. Knows no service.
"""
