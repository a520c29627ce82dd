"""One Envoy's conversation about resources (xDS): what it has subscribed to, what it has got, what is due next.

Both dialects are here, state of the world and delta. At most one answer of a kind is under way; the next is made when
Envoy has taken or refused it, from what is published then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from gateway.app.generator import version_of_text
from gateway.model.published import Kind, Published, Resource

_WILDCARD: Final = "*"

#: Resources to be sent, and names of those that are gone.
_Due: TypeAlias = tuple[tuple[Resource, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What Envoy says about one kind. `nonce` is that of the answer it speaks of; `refusal` says why it refuses it.

    In the state of the world `names` are all it wants (none: everything); in the delta dialect they come in addition,
    `dropped` go, and `known` are versions that it has from an earlier conversation.
    """

    kind: Kind
    nonce: str = ""
    refusal: str = ""
    names: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent: in the state of the world all subscribed resources, else those that are other or gone."""

    kind: Kind
    nonce: str
    version: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Subscription:
    """What one Envoy wants of a kind, and how far it is."""

    names: frozenset[str] = frozenset()
    everything: bool = False
    sent: dict[str, str] = field(default_factory=dict)
    due: set[str] = field(default_factory=set)
    answered: bool = False
    nonce: str = ""
    under_way: bool = False
    sent_serial: int = 0
    taken_serial: int = 0

    def wants(self, name: str) -> bool:
        return self.everything or name in self.names


class Conversation:
    """One stream with one Envoy, node `node`."""

    def __init__(self, *, delta: bool) -> None:
        self.delta: Final = delta
        self.node = ""
        self.refusals: list[tuple[Kind, int, str]] = []
        """Refused: the kind, the serial of what was refused, and why."""
        self._subscriptions: dict[Kind, _Subscription] = {}
        self._nonces = 0

    def hear(self, ask: Ask) -> None:
        """Take note of what Envoy says."""
        subscription = self._subscriptions.get(ask.kind)
        first = subscription is None
        if subscription is None:
            subscription = self._subscriptions[ask.kind] = _Subscription(sent=dict(ask.known))
        elif ask.nonce and ask.nonce != subscription.nonce:
            # It speaks of an answer before the last one.
            if not self.delta:
                return
        elif ask.nonce:
            self._concluded(subscription, ask)
        self._subscribe(subscription, ask, first=first)

    def next_answer(self, published: Published) -> Answer | None:
        """Return what is to be sent now, if anything; kinds come in their order."""
        for kind in Kind:
            subscription = self._subscriptions.get(kind)
            if subscription is not None and not subscription.under_way:
                due = self._due(kind, subscription, published)
                if due is not None:
                    return self._sent(kind, subscription, published, *due)
        return None

    def has_taken(self, kind: Kind, published: Published) -> bool:
        """Whether this Envoy has taken, or has no need of, what is published of a kind."""
        subscription = self._subscriptions.get(kind)
        if subscription is None or subscription.taken_serial >= published.serial:
            return True
        return not subscription.under_way and self._due(kind, subscription, published) is None

    def _concluded(self, subscription: _Subscription, ask: Ask) -> None:
        if not subscription.under_way:
            return
        subscription.under_way = False
        if ask.refusal:
            self.refusals.append((ask.kind, subscription.sent_serial, ask.refusal))
        else:
            subscription.taken_serial = max(subscription.taken_serial, subscription.sent_serial)

    def _subscribe(self, subscription: _Subscription, ask: Ask, *, first: bool) -> None:
        names = ask.names - {_WILDCARD}
        if self.delta:
            subscription.everything = (
                subscription.everything or _WILDCARD in ask.names or (first and not names and ask.kind.whole)
            )
            # Whatever is asked for by name is answered, also if it was sent before: Envoy has forgotten it.
            subscription.due |= names
            subscription.names = (subscription.names | names) - ask.dropped
            for name in ask.dropped:
                subscription.sent.pop(name, None)
                subscription.due.discard(name)
            return
        subscription.everything = ask.kind.whole and not names
        subscription.due |= names - subscription.names
        subscription.names = names

    def _due(self, kind: Kind, subscription: _Subscription, published: Published) -> _Due | None:
        wanted = {name: each for name, each in published.of(kind).items() if subscription.wants(name)}
        if self.delta:
            return _difference(subscription, wanted)
        if not wanted and not kind.whole:
            # Names that do not exist yet are answered once they do.
            return None
        versions = {name: each.version for name, each in wanted.items()}
        if subscription.answered and versions == subscription.sent and not subscription.due & wanted.keys():
            return None
        return tuple(wanted.values()), ()

    def _sent(
        self,
        kind: Kind,
        subscription: _Subscription,
        published: Published,
        resources: tuple[Resource, ...],
        removed: tuple[str, ...],
    ) -> Answer:
        changed = {each.name for each in resources if subscription.sent.get(each.name) != each.version}
        if self.delta:
            subscription.sent.update((each.name, each.version) for each in resources)
            for name in removed:
                subscription.sent.pop(name, None)
        else:
            subscription.sent = {each.name: each.version for each in resources}
        self._nonces += 1
        subscription.nonce = str(self._nonces)
        subscription.under_way = subscription.answered = True
        subscription.sent_serial = published.serial
        subscription.due.clear()
        self._carry(kind, changed)
        return Answer(
            kind=kind,
            nonce=subscription.nonce,
            version=_version(subscription.sent),
            resources=resources,
            removed=removed,
        )

    def _carry(self, kind: Kind, changed: Iterable[str]) -> None:
        """A changed cluster warms until its endpoints come again; likewise a listener and what it refers to."""
        changed = set(changed)
        if not changed:
            return
        for carried in kind.carries:
            subscription = self._subscriptions.get(carried)
            if subscription is not None:
                names = subscription.names if kind is Kind.LISTENERS else subscription.names & changed
                subscription.due |= names


def _difference(subscription: _Subscription, wanted: Mapping[str, Resource]) -> _Due | None:
    other = tuple(
        each for name, each in wanted.items() if subscription.sent.get(name) != each.version or name in subscription.due
    )
    gone = tuple(sorted((subscription.sent.keys() | subscription.due) - wanted.keys()))
    return None if subscription.answered and not other and not gone else (other, gone)


def _version(versions: Mapping[str, str]) -> str:
    return version_of_text(repr(sorted(versions.items())))
