"""Which inclusive joins a token at a node can still get to, over the static graph of one scope."""

from collections import defaultdict
from collections.abc import Iterable

from engine.kernel.definition import Node
from engine.kernel.joins import INCLUSIVE


def mark_reachable(nodes: Iterable[Node]) -> bool:
    """Set `Node.reaches` for every node; says whether the process has inclusive joins at all.

    A token inside an activity can also leave by its boundary events. Linear in flows for each join.
    """
    every = list(nodes)
    joins = [node for node in every if node.kind.tag == INCLUSIVE and len(node.incoming) > 1]
    found: dict[str, set[str]] = defaultdict(set)
    jumps = _jumps(every)
    for join in joins:
        for node in _before(join, jumps):
            found[node.id].add(join.id)
    for node in every:
        node.reaches = frozenset(found.get(node.id, ()))
    return bool(joins)


def _jumps(nodes: list[Node]) -> dict[Node, list[Node]]:
    """For each node those from which a token gets there without a flow (link events)."""
    found: dict[Node, list[Node]] = defaultdict(list)
    for node in nodes:
        for target in node.trigger.jumps(node) if node.trigger is not None else ():
            found[target].append(node)
    return found


def _before(join: Node, jumps: dict[Node, list[Node]]) -> set[Node]:
    seen: set[Node] = set()
    waiting = [flow.source for flow in join.incoming]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        waiting.extend(flow.source for flow in node.incoming)
        waiting.extend(jumps.get(node, ()))
        if node.attached_to is not None:
            waiting.append(node.attached_to)
    return seen
