"""The front door of identity: settings in, a service that can be registered, started, probed and stopped.

identity = IdentityService(settings, clock=SystemClock(), invalidate=cache.invalidate)
await identity.start()
identity.add_to(server.registrar)
server.readiness.add_probe("identity", identity.probe)
...
await identity.stop()
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol

import grpc
import httpx
from flowloom.identity.v1 import access_service_pb2_grpc, identity_service_pb2_grpc
from prometheus_client import CollectorRegistry

from identity.app.access import Access
from identity.app.accounts import Accounts
from identity.app.api_tokens import ApiTokens
from identity.app.attempts import Throttle
from identity.app.bootstrap import Announce, Bootstrap
from identity.app.exchange import Exchange
from identity.app.groups import Groups
from identity.app.key_ring import KeyRing
from identity.app.logins import Logins
from identity.app.outcomes import Outcomes
from identity.app.privileges import Privileges
from identity.app.profiles import Profiles
from identity.app.sessions import Sessions
from identity.app.sweeping import Sweeping
from identity.app.tenants import Tenants
from identity.effects.console import show_one_time_password
from identity.effects.hashing import Argon2Passwords
from identity.effects.measuring import CredentialCounter
from identity.effects.outside_issuer import OidcIssuer
from identity.effects.sealing import Sealing
from identity.effects.signatures import Es256Signatures
from identity.jobs.repeating import Repeating
from identity.rpc import access_service, identity_service
from identity.settings import IdentitySettings
from identity.storage.lists import SqlLists
from identity.storage.migrate import MIGRATIONS
from identity.storage.transactions import SqlStore
from mesh.clock import Clock, SystemClock
from mesh.db.database import open_database
from mesh.errors import FailedPrecondition
from mesh.ids import IdSource

__all__ = ["SERVICES", "IdentityService", "IdentitySettings", "Invalidate"]

SERVICES: Final = ("flowloom.identity.v1.AccessService", "flowloom.identity.v1.IdentityService")
UNTOLD_SECONDS: Final = 5.0
"""How often it is looked for changes of which caches were not told."""
USERS_AT_ONCE: Final = 500
"""Users that one message to the caches names at most."""


class Invalidate(Protocol):
    """Makes every process forget what it knows of these users' permissions."""

    def __call__(self, *user_ids: str) -> Awaitable[None]: ...


class IdentityService:
    """All of identity in one object."""

    def __init__(
        self,
        settings: IdentitySettings,
        *,
        clock: Clock | None = None,
        invalidate: Invalidate | None = None,
        registry: CollectorRegistry | None = None,
        announce: Announce = show_one_time_password,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Nothing is opened yet. `invalidate` None: nobody keeps permissions. `registry` takes the counter of
        credentials. `transport`: to the outside issuer.

        Raises ValueError for settings that do not fit together, or a database URL of another kind.
        """
        clock, ids = clock or SystemClock(), IdSource()
        self._settings = settings
        self._database = open_database(settings.database)
        telling = _Telling(invalidate)
        self._store = SqlStore(
            self._database, clock=clock, ids=ids, invalidation=telling, writers=settings.database.writers
        )
        self._lists = SqlLists(self._database)
        self.passwords = Argon2Passwords(settings.passwords)
        signatures = Es256Signatures(settings.tokens, Sealing(settings.keys.encryption_keys))
        self._outside = OidcIssuer(settings.outside, clock, transport) if settings.outside.url else None
        self.ring = KeyRing(self._store, signatures, clock=clock, ids=ids, tokens=settings.tokens, keys=settings.keys)
        self._accounts = Accounts(self._store, self.passwords, clock, settings.passwords)
        self._outcomes = Outcomes(CredentialCounter(registry))
        self._bootstrap = Bootstrap(
            self._store, self.passwords, self._accounts, clock=clock, ids=ids, announce=announce
        )
        self.sweeping = Sweeping(self._store, clock, settings)
        self._identity = identity_service.IdentityServicer(self._use_cases(clock, ids))
        self._access = access_service.AccessServicer(self._access_cases(clock, ids))
        self._jobs = (
            Repeating("key rotation", self.ring.rotate, settings.keys.poll_seconds),
            Repeating("sweeping", self.sweeping.run, settings.sweep_seconds),
            Repeating("telling caches", self.tell_untold, UNTOLD_SECONDS),
        )

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve the contract there."""
        identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(self._identity, server)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(self._access, server)

    async def start(self) -> None:
        """Bring the tables up to date, have a key that signs and an administrator, and begin to work by the clock.

        Raises FailedPrecondition if migrations are missing that we may not run or keys that cannot be opened,
        InvalidArgument for an administrator's password that is too short, Unavailable if the database is away.
        """
        await self._migrate()
        await self.passwords.prepare()
        await self.ring.rotate()
        await self._bootstrap.run(self._settings.admin_user, self._settings.admin_password)
        for job in self._jobs:
            job.start()

    async def stop(self) -> None:
        """Let what is under way end, and close the database."""
        for job in self._jobs:
            await job.stop()
        if self._outside is not None:
            await self._outside.close()
        await self.passwords.close()
        await self._store.close()
        self._database.close()

    async def probe(self) -> None:
        """Raise Unavailable unless the database answers."""
        await self._store.probe()

    async def tell_untold(self) -> int:
        """Tell caches of changes whose process ended or failed before it had; returns how many."""
        return await self._store.tell_untold()

    def _use_cases(self, clock: Clock, ids: IdSource) -> identity_service.UseCases:
        return identity_service.UseCases(
            accounts=self._accounts,
            profiles=Profiles(self._store, clock, self._settings.limits),
            groups=Groups(self._store, self._lists, clock),
            privileges=Privileges(self._store, ids, clock),
            tenants=Tenants(self._store, clock),
            lists=self._lists,
            version=_version(),
        )

    def _access_cases(self, clock: Clock, ids: IdSource) -> access_service.UseCases:
        settings, store = self._settings, self._store
        throttle = Throttle(settings.throttle)
        logins = Logins(store, self.passwords, throttle, self._accounts, outcomes=self._outcomes, clock=clock)
        return access_service.UseCases(
            access=Access(store, clock, settings.everyone),
            logins=logins,
            sessions=Sessions(
                store, self.ring, outcomes=self._outcomes, clock=clock, ids=ids, settings=settings.tokens
            ),
            exchange=Exchange(
                store,
                logins,
                self.ring,
                throttle,
                outside=self._outside,
                provision=settings.outside.provision,
                outcomes=self._outcomes,
                clock=clock,
            ),
            api_tokens=ApiTokens(store, self._lists, clock=clock, ids=ids, settings=settings.tokens),
            ring=self.ring,
            now=clock.now,
            forwarded_hops=settings.throttle.forwarded_hops,
            jwks_cache_seconds=settings.keys.jwks_cache_seconds,
        )

    async def _migrate(self) -> None:
        if self._settings.migrate:
            await asyncio.to_thread(MIGRATIONS.upgrade, self._database)
            return
        present, wanted = await asyncio.to_thread(lambda: (MIGRATIONS.current(self._database), MIGRATIONS.head()))
        if present != wanted:
            message = f"expected identity's tables at step {wanted}, found {present or 'none'}"
            raise FailedPrecondition("migrations-missing", message)


class _Telling:
    """An `Invalidation` in messages of a bounded size."""

    def __init__(self, invalidate: Invalidate | None) -> None:
        self._invalidate = invalidate

    async def permissions_changed(self, user_ids: Sequence[str]) -> None:
        """Return once every process is told."""
        if self._invalidate is None:
            return
        for start in range(0, len(user_ids), USERS_AT_ONCE):
            await self._invalidate(*user_ids[start : start + USERS_AT_ONCE])


def _version() -> str:
    try:
        return version("flowloom")
    except PackageNotFoundError:
        return "unknown"
