"""How deployments, definitions and what belongs to definitions are kept: the ports of `engine.app.repository`.

Must not touch instances, but for telling which there are.
"""

from engine.storage.repository.store import SqlRepository

__all__ = ["SqlRepository"]
