"""A rebuild: history made anew from the stream that it was made from."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

CHECKING: Final = "checking"
REPLAYING: Final = "replaying"
DONE: Final = "done"
REFUSED: Final = "refused"


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """How a rebuild goes. `messages`: read so far, in the present state."""

    id: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    requested_by: str
    error: str
    messages: int
