"""JWTs signed with ES256."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from identity.effects.sealing import Sealing
from identity.model.keys import SigningKey
from identity.model.tokens import Claims
from identity.settings import TokenSettings

ALGORITHM: Final = "ES256"
CURVE: Final = "P-256"
COORDINATE_BYTES: Final = 32
KID_BYTES: Final = 12
MAX_TOKEN_CHARACTERS: Final = 8192
_REQUIRED: Final = ("iss", "aud", "sub", "jti", "iat", "exp")


class Es256Signatures:
    """The `Signatures` of ES256. Opened private keys are kept in memory."""

    def __init__(self, settings: TokenSettings, sealing: Sealing) -> None:
        self._settings = settings
        self._sealing = sealing
        self._private: dict[str, ec.EllipticCurvePrivateKey] = {}

    def new_key(self, now: datetime, signs_from: datetime, token_seconds: int) -> SigningKey:
        """Make a key pair."""
        private = ec.generate_private_key(ec.SECP256R1())
        point = private.public_key().public_numbers()
        key = SigningKey(
            kid=secrets.token_urlsafe(KID_BYTES),
            x=_spell(point.x),
            y=_spell(point.y),
            private=private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            sealed=False,
            created_at=now,
            signs_from=signs_from,
            token_seconds=token_seconds,
        )
        return self.resealed(key) if self._sealing.seals else key

    def is_current(self, key: SigningKey) -> bool:
        """Whether the private key is kept as the settings want it."""
        if not self._sealing.seals:
            # A sealed key without a key to open it is a mistake of the settings; opening it says so.
            return not key.sealed
        return key.sealed and self._sealing.is_current(key.private)

    def resealed(self, key: SigningKey) -> SigningKey:
        """The same key, encrypted by the first of the settings' keys. Raises FailedPrecondition."""
        plain = self._plain(key)
        return msgspec.structs.replace(key, private=self._sealing.seal(plain, key.kid), sealed=True)

    def sign(self, key: SigningKey, claims: Claims) -> str:
        """The token as text. Raises FailedPrecondition if the key cannot be opened."""
        payload: dict[str, Any] = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": claims.user_id,
            "jti": claims.token_id,
            "gen": claims.generation,
            "iat": int(claims.issued_at.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
        }
        if claims.tenant_id:
            payload["tenant"] = claims.tenant_id
        if claims.session_id:
            payload["sid"] = claims.session_id
        return jwt.encode(payload, self._opened(key), algorithm=ALGORITHM, headers={"kid": key.kid})

    def read(self, keys: Sequence[SigningKey], token: str) -> Claims | None:
        """What a token of ours says, also an expired one; None for any other text."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            return None
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = next((each for each in keys if each.kid == kid), None)
            if key is None:
                return None
            found = jwt.decode(
                token,
                public_key(key),
                algorithms=[ALGORITHM],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                # Times are the caller's to judge, by the clock that it was given.
                options={"require": list(_REQUIRED), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            return Claims(
                user_id=found["sub"],
                tenant_id=found.get("tenant", ""),
                token_id=found["jti"],
                session_id=found.get("sid", ""),
                generation=int(found.get("gen", 0)),
                issued_at=datetime.fromtimestamp(found["iat"], UTC),
                expires_at=datetime.fromtimestamp(found["exp"], UTC),
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            return None

    def _plain(self, key: SigningKey) -> bytes:
        return self._sealing.open(key.private, key.kid) if key.sealed else key.private

    def _opened(self, key: SigningKey) -> ec.EllipticCurvePrivateKey:
        private = self._private.get(key.kid)
        if private is None:
            loaded = serialization.load_pem_private_key(self._plain(key), password=None)
            if not isinstance(loaded, ec.EllipticCurvePrivateKey):
                raise TypeError(f"expected signing key {key.kid} to be one of an elliptic curve")
            self._private = {key.kid: loaded}  # only one signs at a time
            private = loaded
        return private


def public_key(key: SigningKey) -> ec.EllipticCurvePublicKey:
    """The public half."""
    return ec.EllipticCurvePublicNumbers(_number(key.x), _number(key.y), ec.SECP256R1()).public_key()


def _spell(coordinate: int) -> str:
    return base64.urlsafe_b64encode(coordinate.to_bytes(COORDINATE_BYTES, "big")).decode().rstrip("=")


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
