"""An identity for tests of access: signs tokens with a real key, publishes it, and says what users may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from mesh.access.contract import AccessRules
from mesh.access.control import AccessControl
from mesh.access.keys import KeyRing
from mesh.access.permissions import Permissions
from mesh.access.service_tokens import service_issuer
from mesh.access.tokens import Issuer, TokenVerifier
from mesh.clock import SystemClock
from mesh.errors import Unavailable

SERVICE_KEY: Final = "a-key-that-only-tests-know-and-that-is-long-enough"
ISSUER: Final = "flowloom"
AUDIENCE: Final = "flowloom"


class KeptPermissions:
    """A `PermissionCache` in this process alone."""

    def __init__(self) -> None:
        self.kept: dict[str, Permissions] = {}

    async def get(self, key: str, load: Callable[[], Awaitable[Permissions]]) -> Permissions:
        """Return what is kept, or load it."""
        found = self.kept.get(key)
        if found is None:
            found = self.kept[key] = await load()
        return found

    async def invalidate(self, *keys: str) -> None:
        """Forget these."""
        for key in keys:
            self.kept.pop(key, None)


class IdentityForTests:
    """Plays identity: a `KeySource` and a `PermissionSource`, both of which can go away (`away`)."""

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        self._now = now or SystemClock().now
        self.keys_by_id: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.users: dict[str, Permissions] = {}
        self.away = False
        self.looks = 0
        """How often the keys were asked for."""
        self.questions: list[str] = []
        """Whose permissions were asked for."""
        self.rotate("key-1")

    def rotate(self, key_id: str) -> None:
        """Sign with a new key from now on; those before stay published."""
        self.keys_by_id[key_id] = ec.generate_private_key(ec.SECP256R1())

    def allow(self, user_id: str, *privileges: str, tenant_id: str = "", groups: Sequence[str] = ()) -> None:
        """Let a user exist, with these privileges."""
        self.users[user_id] = Permissions(
            user_id=user_id,
            active=True,
            tenant_id=tenant_id,
            groups=tuple(groups),
            privileges=frozenset(privileges),
        )

    def token(self, user_id: str, *, key_id: str = "", lifetime_seconds: float = 300.0, **claims: Any) -> str:
        """Return a token as identity issues them; `claims` replace its own, None leaves one out."""
        kid = key_id or list(self.keys_by_id)[-1]
        now = int(self._now().timestamp())
        tenant = self.users[user_id].tenant_id if user_id in self.users else ""
        body = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "tenant": tenant or None,
            "jti": f"token-of-{user_id}",
            "iat": now,
            "exp": now + lifetime_seconds,
            **claims,
        }
        told = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(told, self.keys_by_id[kid], algorithm="ES256", headers={"kid": kid})

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """Publish the keys."""
        self.looks += 1
        self._check()
        return [
            {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "alg": "ES256", "use": "sig"}
            for key_id, key in self.keys_by_id.items()
        ]

    async def permissions(self, user_id: str) -> Permissions:
        """Say what a user may do."""
        self.questions.append(user_id)
        self._check()
        return self.users.get(user_id, Permissions(user_id=user_id, active=False))

    def control(self, rules: AccessRules, **options: Any) -> AccessControl:
        """Return a check that believes this identity, and services with `SERVICE_KEY`."""
        ring = KeyRing(self, algorithms=("ES256",), **options.pop("ring", {}))
        verifier = TokenVerifier(
            [
                Issuer(name=ISSUER, audience=AUDIENCE, algorithms=("ES256",), find_key=ring.key),
                service_issuer(SERVICE_KEY, audience=AUDIENCE),
            ],
            now=self._now,
            **options.pop("verifier", {}),
        )
        return AccessControl(rules, verifier, self, options.pop("cache", KeptPermissions()), **options)

    def _check(self) -> None:
        if self.away:
            raise Unavailable("identity-away", "expected identity to answer, found it away")
