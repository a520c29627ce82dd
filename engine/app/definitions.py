"""Compiled definitions at hand: the kernel's `Definitions`, and what a start names to a definition.

Two things are kept in memory. Compiled definitions by id never change; they leave by age and number. What can change
(which version is the latest, which are suspended, which message starts what) is kept only as long as the repository's
stamp stays the same. A change by this process is seen at once. For changes by others the stamp is read again, one
statement by primary key, when the last look is older than `fresh_seconds`: for so long another process may still start
the former version. That something does not exist is never remembered, so a new key can be started everywhere at once.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Generic, TypeVar

from engine.app.models import compile_stored
from engine.app.repository import DefinitionRecord, MessageStart, RepositoryReader, RepositoryStore
from engine.app.sharing import SharedDefinitions
from engine.kernel.definition import Definition
from engine.kernel.errors import Called, MissingDefinition, Refused, failed, invalid, not_found
from engine.kernel.registry import Registry

_log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")

_Name = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionCacheLimits:
    """Named bounds of the cache; each can be moved by a setting of the engine."""

    definitions: int = 500
    """Compiled definitions kept; the ones not used for longest leave first."""
    seconds: float = 3600.0
    """How long a compiled definition is kept."""
    fresh_seconds: float = 1.0
    """How old the last look at the repository's stamp may be."""


@dataclass(frozen=True, slots=True)
class StartTarget:
    """What a start request names: a definition and its start event ('' for the plain one)."""

    definition_id: str
    element_id: str = ""


class _Aged(Generic[K, V]):
    """A map bounded in number and age, the least recently used leaving first. Not safe by itself from two threads."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def get(self, key: K, now: float) -> V | None:
        found = self._entries.get(key)
        if found is None:
            return None
        if now - found[1] > self._seconds:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, now: float) -> None:
        self._entries[key] = (value, now)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(slots=True)
class _View:
    """What was read of the repository while it had one stamp."""

    stamp: str
    seen_at: float
    records: dict[_Name, DefinitionRecord] = field(default_factory=dict)
    messages: dict[tuple[str, str], MessageStart] = field(default_factory=dict)


MAX_NAMES: Final = 10_000
"""Names remembered of one state of the repository; beyond, they are forgotten together and read again."""
LOADED_SECONDS: Final = 1.0
"""How long what was loaded for a command stays at hand for it, even if every look were to ask the repository."""


class DefinitionCache:
    """Finds definitions; the group commit's `DefinitionSource`. Safe from any thread.

    The kernel's methods never block: they raise MissingDefinition for what `load` must bring to hand. The others block
    where something must be read, but for `resolve_start`, which is for the event loop.
    """

    def __init__(
        self,
        store: RepositoryStore,
        registry: Registry,
        limits: DefinitionCacheLimits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        shared: SharedDefinitions | None = None,
    ) -> None:
        """`shared` is told of changes that were made here, and keeps files for all replicas."""
        self._store = store
        self._registry = registry
        self._limits = limits or DefinitionCacheLimits()
        self._monotonic = monotonic
        self._shared = shared
        self._lock = Lock()
        self._compiled: _Aged[str, Definition] = _Aged(self._limits.definitions, self._limits.seconds)
        self._view: _View | None = None

    # --- the kernel's Definitions -------------------------------------------------------------------------------------

    def by_id(self, definition_id: str) -> Definition:
        """The compiled definition, suspended or not. Raises MissingDefinition for one to `load`."""
        found = self._at_hand(definition_id)
        if found is None:
            raise MissingDefinition(definition_id=definition_id)
        return found

    def called(self, called: Called) -> Definition:
        """What a call activity is to start.

        Raises MissingDefinition for one to `load`, Refused (FAILED_PRECONDITION) for a suspended one.
        """
        record = self._remembered(_called_name(called))
        if record is None:
            raise MissingDefinition(called=called)
        return self.by_id(_active(record).id)

    def load(self, missing: MissingDefinition) -> None:
        """Bring a definition to hand. Blocking. Raises Refused (NOT_FOUND) if there is none."""
        called = missing.called
        if called is None:
            self.compiled(missing.definition_id)
            return
        record = self._record(_called_name(called), lambda reader: _find_called(reader, called))
        if record is None:
            raise unknown_key(called.key, _of_tenant(called.tenant_id))
        self._load(record)

    def compiled(self, definition_id: str) -> Definition:
        """The compiled definition, loaded if need be. Blocking. Raises Refused (NOT_FOUND)."""
        found = self._at_hand(definition_id)
        return found if found is not None else self._load(self.record(definition_id))

    # --- what a start names -------------------------------------------------------------------------------------------

    def start_by_id(self, definition_id: str) -> StartTarget:
        """Raises Refused: NOT_FOUND, FAILED_PRECONDITION for a suspended definition."""
        return StartTarget(_active(self.record(definition_id)).id)

    def start_by_key(
        self, key: str, tenant_id: str = "", version: int | None = None, *, default_tenant: str | None = None
    ) -> StartTarget:
        """The latest version of a key, or the one of that number; `default_tenant` is asked if the tenant has none.

        Raises Refused: NOT_FOUND, FAILED_PRECONDITION for a suspended definition.
        """
        try:
            return StartTarget(_active(self._versioned(key, tenant_id, version)).id)
        except Refused as refused:
            if default_tenant is None or default_tenant == tenant_id or refused.status != "NOT_FOUND":
                raise
            return StartTarget(_active(self._versioned(key, default_tenant, version)).id)

    def start_by_message(self, name: str, tenant_id: str = "", *, default_tenant: str | None = None) -> StartTarget:
        """The start event that waits for a message. Raises Refused as `start_by_key`."""
        found = self._message(name, tenant_id)
        if found is None and default_tenant is not None and default_tenant != tenant_id:
            found = self._message(name, default_tenant)
        if found is None:
            raise not_found(
                "message-start-not-found",
                f"expected a process that starts by message '{name}', found none{_of_tenant(tenant_id)}",
                message_name=name,
                tenant_id=tenant_id,
            )
        return StartTarget(_active(self.record(found.definition_id)).id, found.element_id)

    async def resolve_start(
        self,
        *,
        definition_id: str = "",
        key: str = "",
        message: str = "",
        version: int | None = None,
        tenant_id: str = "",
        default_tenant: str | None = None,
    ) -> StartTarget:
        """The start that exactly one of id, key and message names, off the event loop if anything must be read.

        The definition is at hand then: `by_id` has it.

        Raises Refused: INVALID_ARGUMENT for none or several of the three, else as the methods above.
        """
        given = [what for what, told in (("an id", definition_id), ("a key", key), ("a message", message)) if told]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise invalid(
                "start-target",
                f"expected exactly one of a process definition's id, its key and a message, found {found}",
            )

        def resolve() -> StartTarget:
            if definition_id:
                return self.start_by_id(definition_id)
            if key:
                return self.start_by_key(key, tenant_id, version, default_tenant=default_tenant)
            return self.start_by_message(message, tenant_id, default_tenant=default_tenant)

        # A thread costs more than looking, and nearly every start finds what it names in memory.
        name: _Name = ("id", definition_id) if definition_id else _version_name(key, tenant_id, version)
        remembered = self._remembered(name) if not message and self._is_fresh() else None
        if remembered is not None and self._at_hand(remembered.id) is not None:
            return resolve()

        def resolve_and_load() -> StartTarget:
            target = resolve()
            self.compiled(target.definition_id)
            return target

        return await asyncio.to_thread(resolve_and_load)

    def record(self, definition_id: str) -> DefinitionRecord:
        """What the repository lists of a definition. Raises Refused (NOT_FOUND)."""
        found = self._record(("id", definition_id), lambda reader: reader.definition(definition_id))
        if found is None:
            raise unknown_definition(definition_id)
        return found

    # --- keeping up ---------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Look at the repository anew: this process has changed it."""
        self.look_again()
        if self._shared is not None:
            self._shared.changed()

    def look_again(self) -> None:
        """Look at the repository anew: somebody has changed it."""
        with self._lock:
            self._view = None

    def warm(self, most: int = 100) -> int:
        """Load the latest versions, most recently deployed first; says how many. For the start of the engine.

        One that this release does not take any more is refused to those who ask for it, and to nobody else.
        """
        warmed = 0
        for record in self._store.read(lambda reader: reader.newest_definitions(most)):
            try:
                self._load(record)
                warmed += 1
            except Refused as refused:
                _log.warning("%s", refused)
        return warmed

    # --- inside -------------------------------------------------------------------------------------------------------

    def _at_hand(self, definition_id: str) -> Definition | None:
        with self._lock:
            return self._compiled.get(definition_id, self._monotonic())

    def _load(self, record: DefinitionRecord) -> Definition:
        found = self._at_hand(record.id)
        if found is not None:
            return found
        definition = compile_stored(record, self._file_of(record), self._registry)
        with self._lock:
            self._compiled.put(record.id, definition, self._monotonic())
        return definition

    def _file_of(self, record: DefinitionRecord) -> bytes:
        def load() -> bytes:
            resource = self._store.read(lambda reader: reader.resource(record.deployment_id, record.resource_name))
            if resource is None:
                raise unknown_definition(record.id)
            return resource.data

        return (
            load()
            if self._shared is None
            else self._shared.file(f"{record.deployment_id}/{record.resource_name}", load)
        )

    def _versioned(self, key: str, tenant_id: str, version: int | None) -> DefinitionRecord:
        if version is None:
            return self._latest(key, tenant_id)
        name = _version_name(key, tenant_id, version)
        found = self._record(name, lambda reader: reader.version(key, tenant_id, version))
        if found is None:
            raise unknown_key(key, f" of version {version}{_of_tenant(tenant_id)}")
        return found

    def _latest(self, key: str, tenant_id: str) -> DefinitionRecord:
        name = _version_name(key, tenant_id, None)
        found = self._record(name, lambda reader: reader.latest(key, tenant_id))
        if found is None:
            raise unknown_key(key, _of_tenant(tenant_id))
        return found

    def _record(
        self, name: _Name, ask: Callable[[RepositoryReader], DefinitionRecord | None]
    ) -> DefinitionRecord | None:
        view = self._fresh_view()
        found = view.records.get(name)
        if found is None:
            # Read after the stamp was: if the repository changed in between, the next look at the stamp tells.
            found = self._store.read(ask)
            if found is not None:
                if len(view.records) >= MAX_NAMES:
                    view.records.clear()
                view.records[name] = view.records["id", found.id] = found
        return found

    def _message(self, name: str, tenant_id: str) -> MessageStart | None:
        view = self._fresh_view()
        found = view.messages.get((name, tenant_id))
        if found is None:
            found = self._store.read(lambda reader: reader.message_start(name, tenant_id))
            if found is not None:
                if len(view.messages) >= MAX_NAMES:
                    view.messages.clear()
                view.messages[name, tenant_id] = found
        return found

    def _remembered(self, name: _Name) -> DefinitionRecord | None:
        """What is known without reading; `load` has looked at the stamp not long before."""
        with self._lock:
            view = self._view
        if view is None or self._monotonic() - view.seen_at > max(self._limits.fresh_seconds, LOADED_SECONDS):
            return None
        return view.records.get(name)

    def _is_fresh(self) -> bool:
        with self._lock:
            return self._view is not None and self._monotonic() - self._view.seen_at < self._limits.fresh_seconds

    def _fresh_view(self) -> _View:
        now = self._monotonic()
        with self._lock:
            view = self._view
        if view is not None and now - view.seen_at < self._limits.fresh_seconds:
            return view
        stamp = self._store.read(lambda reader: reader.stamp())
        with self._lock:
            if self._view is not view:
                # Somebody else looked, or was told of a change, meanwhile: what was read just now may be older.
                return self._view if self._view is not None else _View(stamp, now)
            if view is None or view.stamp != stamp:
                self._view = view = _View(stamp, now)
            else:
                view.seen_at = now
            return view


def _version_name(key: str, tenant_id: str, version: int | None) -> _Name:
    return ("latest", key, tenant_id) if version is None else ("version", key, tenant_id, str(version))


def _called_name(called: Called) -> _Name:
    """A plain call shares its name with the starts of the latest version."""
    if not called.deployment_id and not called.or_shared:
        return _version_name(called.key, called.tenant_id, None)
    return ("called", called.key, called.tenant_id, called.deployment_id, "shared" if called.or_shared else "")


def _find_called(reader: RepositoryReader, called: Called) -> DefinitionRecord | None:
    found = reader.in_deployment(called.key, called.deployment_id) if called.deployment_id else None
    found = found or reader.latest(called.key, called.tenant_id)
    if found is None and called.or_shared and called.tenant_id:
        found = reader.latest(called.key, "")
    return found


def _active(record: DefinitionRecord) -> DefinitionRecord:
    if record.suspended:
        raise failed(
            "definition-suspended",
            f"expected process definition {record.id} to be active, found it suspended",
            process_definition_id=record.id,
        )
    return record


def unknown_definition(definition_id: str) -> Refused:
    """The refusal for an id that no definition has."""
    return not_found(
        "process-definition-not-found",
        f"expected a process definition, found none with id '{definition_id}'",
        process_definition_id=definition_id,
    )


def unknown_key(key: str, more: str) -> Refused:
    """The refusal for a key that no definition has."""
    return not_found(
        "process-definition-not-found",
        f"expected a process definition, found none with key '{key}'{more}",
        process_definition_key=key,
    )


def _of_tenant(tenant_id: str) -> str:
    return f" of tenant '{tenant_id}'" if tenant_id else ""
