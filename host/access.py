"""Access in a process: the check that its server asks, and the credentials that its calls carry, with identity behind.

Keys and permissions come from identity over the process's own channels, in process where it is co-hosted. The
permissions are kept in one cache of the process, which identity tells of every change.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import grpc
from flowloom.identity.v1 import access_service_pb2 as pb
from flowloom.identity.v1.access_service_pb2_grpc import AccessServiceStub

from mesh.access.calling import Credentials
from mesh.access.contract import AccessRules, read_rules
from mesh.access.control import Access, AccessControl, OpenAccess
from mesh.access.keys import KeyRing
from mesh.access.permissions import Permissions
from mesh.access.service_tokens import MIN_KEY_LENGTH, ServiceTokens, service_issuer
from mesh.access.settings import AccessMode, AccessSettings
from mesh.access.tokens import Issuer, TokenVerifier
from mesh.cache.two_level import Caches
from mesh.channels import Channels
from mesh.clock import SystemClock
from mesh.errors import Unavailable
from mesh.settings import SettingsError, load

PREFIX: Final = "FLOWLOOM_ACCESS_"
ALGORITHM: Final = "ES256"
ASK_SECONDS: Final = 5.0
"""How long identity may take to answer."""
CACHE: Final = "permissions"

_LOGGER: Final = logging.getLogger(__name__)


class IdentitySource:
    """What identity says: a `KeySource`, a `PermissionSource`, and the groups of users."""

    def __init__(self) -> None:
        """Nobody can be asked until `connect`."""
        self._stub: AccessServiceStub | None = None

    def connect(self, channels: Channels) -> None:
        """Ask over these channels from now on; where identity has no address, it is away."""
        try:
            self._stub = AccessServiceStub(channels.to("identity", as_service=True))
        except LookupError as nowhere:
            _LOGGER.warning("nobody is known to identity here: %s", nowhere)

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """Return the keys that verify users' tokens. Raises Unavailable."""
        found = await self._ask(lambda stub: stub.GetJwks(pb.GetJwksRequest(), timeout=ASK_SECONDS))
        names = ("kty", "crv", "x", "y", "kid", "use", "alg")
        return [{name: getattr(key, name) for name in names if getattr(key, name)} for key in found.keys]

    async def permissions(self, user_id: str) -> Permissions:
        """Return what a user may do. Raises Unavailable."""
        request = pb.GetPermissionsRequest(user_id=user_id)
        nobody = pb.GetPermissionsResponse()
        found = await self._ask(lambda stub: stub.GetPermissions(request, timeout=ASK_SECONDS), unfit=nobody)
        return Permissions(
            user_id=user_id,
            active=found.active,
            tenant_id=found.tenant_id,
            groups=tuple(found.groups),
            privileges=frozenset(found.privileges),
            version=found.version,
            generation=found.token_generation,
            revoked=frozenset(found.revoked_token_ids),
        )

    async def _ask(self, call: Callable[[AccessServiceStub], Any], *, unfit: Any = None) -> Any:
        """Return the answer; `unfit`, if given, where identity takes the question for none (no user has such an id)."""
        if self._stub is None:
            raise Unavailable("identity-away", "expected identity to have an address, found none")
        try:
            return await call(self._stub)
        except grpc.aio.AioRpcError as failed:
            if unfit is not None and failed.code() is grpc.StatusCode.INVALID_ARGUMENT:
                return unfit
            if failed.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                _LOGGER.error("identity refuses this service: do they share %sSERVICE_KEY?", PREFIX)
            raise Unavailable("identity-away", f"expected identity to answer, found {failed.code().name}") from failed


class MeshAccess:
    """All of access in one process. Its calls to identity go over the channels that it is told by `connect`."""

    def __init__(
        self,
        settings: AccessSettings,
        *,
        service: str,
        descriptor_set: bytes,
        caches: Caches,
        public_services: Iterable[str] = (),
    ) -> None:
        """`service` vouches for itself under its name; `public_services` are served here to whoever comes.

        These are not in our contract: what Envoy, which has no token, asks of the gateway.
        Raises ValueError for a service key that is too short."""
        # People's tokens live by the computer's time, also where a test moves the engine's.
        now = SystemClock().now
        rules = read_rules(descriptor_set, public_services)
        self._source = IdentitySource()
        self.connect = self._source.connect
        self._permissions = caches.open(
            CACHE, Permissions, seconds=settings.permissions_seconds, entries=settings.permissions_kept
        )
        self.is_enforced = settings.mode is AccessMode.ENFORCED
        self.service_key = settings.service_key
        tokens = None
        self.check: Access = OpenAccess(rules)
        if self.is_enforced:
            lifetime = settings.service_token_seconds
            tokens = ServiceTokens(
                service, settings.service_key, audience=settings.audience, now=now, lifetime_seconds=lifetime
            )
            self.check = self._control(settings, rules, now)
        self.credentials = Credentials(tokens)
        self.hearers = self._permissions.hearers
        """Told of each user whom this process is made to forget, wherever they changed; None: of everybody."""

    def _control(self, settings: AccessSettings, rules: AccessRules, now: Callable[[], datetime]) -> AccessControl:
        ring = KeyRing(
            self._source,
            algorithms=(ALGORITHM,),
            pause_seconds=settings.key_pause_seconds,
            max_age_seconds=settings.key_age_seconds,
        )
        verifier = TokenVerifier(
            [
                Issuer(name=settings.issuer, audience=settings.audience, algorithms=(ALGORITHM,), find_key=ring.key),
                service_issuer(settings.service_key, audience=settings.audience),
            ],
            now=now,
            leeway_seconds=settings.leeway_seconds,
            kept=settings.kept_tokens,
        )
        return AccessControl(
            rules,
            verifier,
            self._source,
            self._permissions,
            refusal_seconds=settings.refusal_seconds,
            stream_seconds=settings.stream_seconds,
        )

    async def forget(self, *user_ids: str) -> None:
        """Look up anew, in every process, what these users may do. For identity, when it has changed."""
        await self._permissions.invalidate(*user_ids)

    async def groups_of(self, user_id: str) -> tuple[str, ...]:
        """Return a user's groups. Raises Unavailable."""
        found = await self._permissions.get(user_id, lambda: self._source.permissions(user_id))
        return found.groups


def embedded_settings(environment: Mapping[str, str]) -> AccessSettings:
    """Return the settings of a mesh in one process: its service key is nobody else's, and new at each start."""
    settings = load(AccessSettings, environment, PREFIX)
    return settings if settings.service_key else replace(settings, service_key=secrets.token_urlsafe(MIN_KEY_LENGTH))


def shared_settings(environment: Mapping[str, str] = os.environ) -> AccessSettings:
    """Return the settings of one service among others. Raises SettingsError without the key that all of them share."""
    settings = load(AccessSettings, environment, PREFIX)
    if settings.mode is AccessMode.ENFORCED and len(settings.service_key) < MIN_KEY_LENGTH:
        wanted = f"the secret that the services of this mesh share, of at least {MIN_KEY_LENGTH} characters"
        raise SettingsError((f"{PREFIX}SERVICE_KEY: expected {wanted}, found {len(settings.service_key)}",))
    return settings
