"""Random block-structured processes: every block has one way in and one way out, so one token comes through it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import strategies as st

from tests.engine.kernel.models import (
    boundary,
    catch,
    document,
    end,
    event_sub_process,
    flow,
    loop,
    message,
    messages,
    process,
    service,
    start,
    sub_process,
    throw,
    timer,
    user_task,
)

MOST_DEPTH = 3


@dataclass
class Building:
    """The XML of one scope that is being built, and the counter of ids that all scopes share."""

    numbers: list[int]
    content: list[str] = field(default_factory=list)

    def name(self, prefix: str) -> str:
        self.numbers[0] += 1
        return f"{prefix}{self.numbers[0]}"

    def add(self, *parts: str) -> None:
        self.content.extend(parts)

    def link(self, source: str, target: str, condition: str = "") -> None:
        self.add(flow(source, target, condition))

    def inner(self) -> "Building":
        return Building(self.numbers)


Block = Callable[[Building], tuple[str, str]]
"""Adds itself to a scope and gives the ids of its first and its last node."""


def single(make: Callable[[str], str], prefix: str) -> Block:
    def build(scope: Building) -> tuple[str, str]:
        name = scope.name(prefix)
        scope.add(make(name))
        return name, name

    return build


def sequence(blocks: list[Block]) -> Block:
    def build(scope: Building) -> tuple[str, str]:
        ends = [block(scope) for block in blocks]
        for (_, last), (first, _) in pairwise(ends):
            scope.link(last, first)
        return ends[0][0], ends[-1][1]

    return build


def gateway(tag: str, blocks: list[Block]) -> Block:
    """Split and join by the same kind of gateway; the first branch of a choosing one is its default."""

    def build(scope: Building) -> tuple[str, str]:
        fork, join = scope.name("fork"), scope.name("join")
        ends = [block(scope) for block in blocks]
        default = "" if tag == "parallelGateway" else f'default="{fork}-{ends[0][0]}"'
        scope.add(f'<{tag} id="{fork}" {default}/><{tag} id="{join}"/>')
        for number, (first, last) in enumerate(ends):
            comparison = "==" if tag == "exclusiveGateway" else ">="
            conditional = number and tag != "parallelGateway"
            scope.link(fork, first, f"${{v {comparison} {number}}}" if conditional else "")
            scope.link(last, join)
        return fork, join

    return build


def nested(scope: Building, block: Block) -> str:
    """A block with start and end events, as the content of a scope of its own."""
    inner = scope.inner()
    begin, finish = inner.name("start"), inner.name("end")
    first, last = block(inner)
    inner.add(start(begin), end(finish))
    inner.link(begin, first)
    inner.link(last, finish)
    return "".join(inner.content)


def scoped(block: Block, repeat: str = "", attributes: str = "") -> Block:
    def build(scope: Building) -> tuple[str, str]:
        name = scope.name("sub")
        scope.add(sub_process(name, repeat, nested(scope, block), attributes=attributes))
        return name, name

    return build


def interruptible(block: Block, handler: Block, event: str, *, interrupting: bool) -> Block:
    """A sub-process with a boundary event; what an interrupting one does comes back to the main way."""

    def build(scope: Building) -> tuple[str, str]:
        name, event_name, merge = scope.name("sub"), scope.name("event"), scope.name("merge")
        first, last = handler(scope)
        scope.add(sub_process(name, nested(scope, block)), boundary(event_name, name, event, interrupting=interrupting))
        scope.add(f'<exclusiveGateway id="{merge}"/>')
        scope.link(event_name, first)
        scope.link(name, merge)
        if interrupting:
            scope.link(last, merge)
        else:
            finish = scope.name("end")
            scope.add(end(finish))
            scope.link(last, finish)
        return name, merge

    return build


def event_gateway(block: Block, other: Block) -> Block:
    def build(scope: Building) -> tuple[str, str]:
        choice, merge = scope.name("choice"), scope.name("merge")
        one, two = scope.name("catch"), scope.name("catch")
        scope.add(f'<eventBasedGateway id="{choice}"/><exclusiveGateway id="{merge}"/>')
        scope.add(catch(one, message("m")), catch(two, timer("timeDuration", "PT1H")))
        for event, branch in ((one, block), (two, other)):
            first, last = branch(scope)
            scope.link(choice, event)
            scope.link(event, first)
            scope.link(last, merge)
        return choice, merge

    return build


ERROR = '<errorEventDefinition errorRef="oops"/>'
COMPENSATE = "<compensateEventDefinition/>"


def failing(block: Block, handler: Block) -> Block:
    """A sub-process that ends in an error, which is caught on its boundary."""

    def build(scope: Building) -> tuple[str, str]:
        name, event_name = scope.name("sub"), scope.name("event")
        inner = scope.inner()
        begin, finish = inner.name("start"), inner.name("end")
        first, last = block(inner)
        inner.add(start(begin), end(finish, ERROR))
        inner.link(begin, first)
        inner.link(last, finish)
        scope.add(sub_process(name, *inner.content), boundary(event_name, name, ERROR))
        caught, handled = handler(scope)
        scope.link(event_name, caught)
        return name, handled

    return build


def listening(block: Block, reaction: Block, *, interrupting: bool, repeat: str = "") -> Block:
    """A sub-process with an event sub-process inside."""

    def build(scope: Building) -> tuple[str, str]:
        name = scope.name("sub")
        inner = scope.inner()
        begin, finish = inner.name("start"), inner.name("end")
        first, last = reaction(inner)
        flag = "true" if interrupting else "false"
        inner.add(start(begin, message("m"), f'isInterrupting="{flag}"'), end(finish))
        inner.link(begin, first)
        inner.link(last, finish)
        reacting = event_sub_process(scope.name("reaction"), *inner.content)
        scope.add(sub_process(name, repeat, nested(scope, block), reacting))
        return name, name

    return build


def terminating(block: Block, other: Block) -> Block:
    """A sub-process in which whoever comes to the end first, by one of two ways, may take the other away."""

    def build(scope: Building) -> tuple[str, str]:
        name = scope.name("sub")
        inner = scope.inner()
        begin, fork = inner.name("start"), inner.name("fork")
        inner.add(start(begin), f'<parallelGateway id="{fork}"/>')
        inner.link(begin, fork)
        for branch, definition in ((block, ""), (other, "<terminateEventDefinition/>")):
            finish = inner.name("end")
            first, last = branch(inner)
            inner.add(end(finish, definition))
            inner.link(fork, first)
            inner.link(last, finish)
        scope.add(sub_process(name, *inner.content))
        return name, name

    return build


def undone(block: Block, handler: str) -> Block:
    """A sub-process in which something is done that is undone right after it."""

    def build(scope: Building) -> tuple[str, str]:
        done, undo, on_done, undoing = (scope.name(p) for p in ("done", "undo", "on", "undoing"))

        def inside(inner: Building) -> tuple[str, str]:
            first, last = block(inner)
            inner.add(service(done), boundary(on_done, done, COMPENSATE))
            inner.add(f'<{handler} id="{undo}" isForCompensation="true"/>')
            inner.add(f'<association id="{done}-{undo}" sourceRef="{on_done}" targetRef="{undo}"/>')
            inner.link(last, done)
            return first, done

        name, _ = scoped(inside)(scope)
        scope.add(throw(undoing, COMPENSATE))
        scope.link(name, undoing)
        return name, undoing

    return build


LEAVES: list[Block] = [
    single(user_task, "task"),
    single(user_task, "task"),
    single(service, "service"),
    single(lambda name: user_task(name, attributes='flowable:async="true"'), "task"),
    single(lambda name: service(name, attributes='flowable:async="true" flowable:asyncLeave="true"'), "service"),
    single(lambda name: catch(name, timer("timeDuration", "PT10M")), "catch"),
    single(lambda name: catch(name, message("m")), "catch"),
    single(lambda name: f'<callActivity id="{name}" calledElement="called"/>', "call"),
    single(lambda name: user_task(name, loop("2")), "task"),
    single(lambda name: user_task(name, loop("2", sequential=True), 'flowable:async="true"'), "task"),
]


def blocks(depth: int = MOST_DEPTH) -> st.SearchStrategy[Block]:
    leaf = st.sampled_from(LEAVES)
    if depth == 0:
        return leaf
    inner = st.deferred(lambda: blocks(depth - 1))
    several = st.lists(inner, min_size=2, max_size=3)
    events = st.sampled_from([message("m"), timer("timeDuration", "PT30M"), timer("timeCycle", "R2/PT20M")])
    return st.one_of(
        leaf,
        several.map(sequence),
        st.builds(gateway, st.sampled_from(["exclusiveGateway", "parallelGateway", "inclusiveGateway"]), several),
        inner.map(scoped),
        st.builds(scoped, inner, st.sampled_from([loop("2"), loop("3", sequential=True), loop("${v}")])),
        st.builds(interruptible, inner, inner, events, interrupting=st.booleans()),
        st.builds(event_gateway, inner, inner),
        st.builds(failing, inner, inner),
        st.builds(listening, inner, inner, interrupting=st.booleans(), repeat=st.sampled_from(["", loop("2")])),
        st.builds(terminating, inner, inner),
        st.builds(undone, inner, st.sampled_from(["manualTask", "userTask"])),
    )


def document_of(block: Block) -> str:
    """A deployable document: the block between `mainStart` and `mainEnd`, and a process to call."""
    scope = Building([0])
    first, last = block(scope)
    scope.add(start("mainStart"), end("mainEnd"))
    scope.link("mainStart", first)
    scope.link(last, "mainEnd")
    called = [start("calledStart"), user_task("calledTask"), end("calledEnd")]
    called += [flow("calledStart", "calledTask"), flow("calledTask", "calledEnd")]
    return document(process(*scope.content), process(*called, key="called"), root=messages("m"))
