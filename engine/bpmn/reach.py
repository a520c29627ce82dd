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
    for join in joins:
        for node in _before(join):
            found[node.id].add(join.id)
    for node in every:
        node.reaches = frozenset(found.get(node.id, ()))
    return bool(joins)


def _before(join: Node) -> set[Node]:
    seen: set[Node] = set()
    waiting = [flow.source for flow in join.incoming]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        waiting.extend(flow.source for flow in node.incoming)
        if node.attached_to is not None:
            waiting.append(node.attached_to)
    return seen
