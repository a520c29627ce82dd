"""The proof of an erasure: what was erased of whom, chained by hashes so that no proof can be changed or left out."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

import msgspec

PERSON = "person"
TENANT = "tenant"


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one table."""

    table: str
    changed: int = 0
    deleted: int = 0


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """A proof. `number` counts from 1; `subject` is a digest; `previous_hash` is empty for the first."""

    id: str
    number: int
    kind: str
    subject: str
    requested_by: str
    erased_at: datetime
    rows: tuple[Rows, ...]
    previous_hash: str
    hash: str = ""
    signature: str = ""

    def sealed(self, key: str) -> Erasure:
        """The same with its hash, and its signature if there is a key."""
        digest = self.digest()
        return msgspec.structs.replace(self, hash=digest, signature=signature_of(digest, key))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON (sorted keys, no spaces, moments in UTC) of all but hash and signature."""
        content = msgspec.to_builtins(msgspec.structs.replace(self, hash="", signature=""))
        del content["hash"], content["signature"]
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()

    def holds(self, previous_hash: str, key: str) -> bool:
        """Tell whether hash, signature and place in the chain are right."""
        own = self.hash == self.digest() and self.previous_hash == previous_hash
        return own and (not key or hmac.compare_digest(self.signature, signature_of(self.hash, key)))


def signature_of(digest: str, key: str) -> str:
    """HMAC-SHA-256 of a hash; empty without a key."""
    return hmac.new(key.encode(), digest.encode(), hashlib.sha256).hexdigest() if key else ""
