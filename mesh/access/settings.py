"""What can be set about access, from `FLOWLOOM_ACCESS_*`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mesh.access.control import REFUSAL_SECONDS, STREAM_SECONDS
from mesh.access.keys import MAX_KEY_AGE_SECONDS, REFRESH_PAUSE_SECONDS
from mesh.access.service_tokens import LIFETIME_SECONDS
from mesh.access.tokens import KEPT_TOKENS, LEEWAY_SECONDS
from mesh.settings import setting


class AccessMode(StrEnum):
    """Whether access is checked."""

    ENFORCED = "enforced"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """Whose tokens are believed, and for how long things are remembered."""

    mode: AccessMode = setting(
        AccessMode.ENFORCED, doc="Check every call, or none: off is refused unless only this machine can connect."
    )
    service_key: str = setting(
        "", doc="The secret with which the services of one mesh vouch for themselves.", secret=True
    )
    issuer: str = setting("flowloom", doc="Who issues users' tokens: their claim iss.")
    audience: str = setting("flowloom", doc="Whom tokens must be meant for: their claim aud.")
    permissions_seconds: float = setting(7200.0, doc="How long a user's permissions are kept at most.", minimum=1)
    permissions_kept: int = setting(50_000, doc="Users whose permissions a process keeps at most.", minimum=1)
    kept_tokens: int = setting(KEPT_TOKENS, doc="Verified tokens that a process remembers at most.", minimum=1)
    leeway_seconds: float = setting(LEEWAY_SECONDS, doc="How far the clocks of issuer and verifier may be apart.")
    key_pause_seconds: float = setting(
        REFRESH_PAUSE_SECONDS, doc="How soon the issuer's keys are fetched again for an unknown key id.", minimum=0.1
    )
    key_age_seconds: float = setting(
        MAX_KEY_AGE_SECONDS, doc="How long the issuer's keys are used before they are fetched again.", minimum=1
    )
    stream_seconds: float = setting(
        STREAM_SECONDS, doc="How often it is looked whether whoever opened a stream may still do so.", minimum=0.1
    )
    service_token_seconds: float = setting(LIFETIME_SECONDS, doc="How long a service's own token is valid.", minimum=5)
    refusal_seconds: float = setting(
        REFUSAL_SECONDS, doc="How long after its beginning a refused call is answered, whatever the reason."
    )
