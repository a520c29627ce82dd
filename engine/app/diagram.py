"""The diagram that a model carries (BPMN DI) as SVG, so that a definition has a picture without a drawing library.

Plain shapes: circles for events, rounded boxes for activities, diamonds for gateways, lines for flows, with names.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from engine.kernel.definition import Definition, Family, Node
from engine.kernel.reading import Source

MARGIN: Final = 12.0
MAX_SIDE: Final = 20_000.0
"""Wider or higher diagrams are not drawn: their coordinates are no drawing's."""
CHARACTER_WIDTH: Final = 6.0
LINE_HEIGHT: Final = 13.0
_STYLE: Final = (
    "rect,circle,polygon{fill:#fff;stroke:#333;stroke-width:1.4}"
    ".inner{fill:none}.end{stroke-width:3}.gone{fill:none;stroke-dasharray:4 3}"
    "polyline{fill:none;stroke:#555;stroke-width:1.2;marker-end:url(#to)}"
    "text{font:11px sans-serif;fill:#111;text-anchor:middle}"
)
_ARROW: Final = (
    '<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
)
_GATEWAY_SIGNS: Final = {
    "exclusiveGateway": "×",
    "parallelGateway": "+",
    "inclusiveGateway": "○",
    "eventBasedGateway": "⬠",
}


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


def draw(root: Source, definition: Definition) -> bytes | None:
    """Return an SVG of the process, or None if the document has no shape for any of its nodes."""
    boxes = dict(_shapes(root))
    paths = dict(_edges(root))
    # Containers first: what is inside them is drawn over them. The process itself has no shape but its pool's.
    nodes = [node for node in definition.nodes.values() if node.parent is not None and node.id in boxes]
    if not nodes:
        return None
    flows = [(flow.id, flow.name) for flow in definition.flows.values() if flow.id in paths]
    xs = [x for n in nodes for x in (boxes[n.id].x, boxes[n.id].x + boxes[n.id].width)]
    ys = [y for n in nodes for y in (boxes[n.id].y, boxes[n.id].y + boxes[n.id].height)]
    xs += [x for flow_id, _ in flows for x, _ in paths[flow_id]]
    ys += [y for flow_id, _ in flows for _, y in paths[flow_id]]
    left, top = min(xs) - MARGIN, min(ys) - MARGIN
    width, height = max(xs) - left + MARGIN, max(ys) - top + MARGIN + LINE_HEIGHT
    if width > MAX_SIDE or height > MAX_SIDE:
        return None
    drawn = [line for node in nodes for line in _node(node, boxes[node.id])]
    drawn += [line for flow_id, name in flows for line in _flow(name, paths[flow_id])]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="{left:g} {top:g} {width:g} {height:g}"><style>{_STYLE}</style>{_ARROW}'
    )
    return "\n".join([head, *drawn, "</svg>", ""]).encode()


def _shapes(root: Source) -> Iterator[tuple[str, _Box]]:
    for shape in _under_planes(root, "BPMNShape"):
        bounds = next((child for child in shape.children if child.tag == "Bounds"), None)
        numbers = [_number(bounds, name) for name in ("x", "y", "width", "height")] if bounds is not None else []
        if numbers and all(math.isfinite(number) for number in numbers):
            yield _local(shape.attributes.get("bpmnElement", "")), _Box(*numbers)


def _edges(root: Source) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    for edge in _under_planes(root, "BPMNEdge"):
        points = [(_number(p, "x"), _number(p, "y")) for p in edge.children if p.tag == "waypoint"]
        if len(points) > 1 and all(math.isfinite(x) and math.isfinite(y) for x, y in points):
            yield _local(edge.attributes.get("bpmnElement", "")), points


def _under_planes(root: Source, tag: str) -> Iterator[Source]:
    for diagram in root.children:
        if diagram.tag == "BPMNDiagram":
            for plane in diagram.children:
                if plane.tag == "BPMNPlane":
                    yield from (found for found in plane.children if found.tag == tag)


def _local(reference: str) -> str:
    return reference.split(":", 1)[-1]


def _number(source: Source, name: str) -> float:
    try:
        return float(source.attributes.get(name, ""))
    except ValueError:
        return math.nan


def _node(node: Node, box: _Box) -> Iterator[str]:
    x, y = box.middle
    if node.kind.family is Family.EVENT:
        radius = min(box.width, box.height) / 2
        yield f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}"{_event_style(node)}/>'
        if node.kind.tag not in ("startEvent", "endEvent"):
            yield f'<circle class="inner" cx="{x:g}" cy="{y:g}" r="{max(radius - 3, 1):g}"/>'
        yield from _text(node.name, x, box.y + box.height + LINE_HEIGHT, 0)
    elif node.kind.family is Family.GATEWAY:
        corners = f"{x:g},{box.y:g} {box.x + box.width:g},{y:g} {x:g},{box.y + box.height:g} {box.x:g},{y:g}"
        yield f'<polygon points="{corners}"/>'
        yield from _text(_GATEWAY_SIGNS.get(node.kind.tag, ""), x, y + 4, 0)
        yield from _text(node.name, x, box.y + box.height + LINE_HEIGHT, 0)
    else:
        style = ' class="gone"' if node.is_event_subprocess else ""
        size = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
        yield f'<rect {size} rx="8"{style}/>'
        middle = box.y + LINE_HEIGHT + 2 if node.inside else y + 4
        yield from _text(node.name, x, middle, box.width - 8)


def _event_style(node: Node) -> str:
    return ' class="end"' if node.kind.tag == "endEvent" else ""


def _flow(name: str, points: list[tuple[float, float]]) -> Iterator[str]:
    yield f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"/>'
    middle = len(points) // 2
    (x1, y1), (x2, y2) = points[middle - 1], points[middle]
    yield from _text(name, (x1 + x2) / 2, (y1 + y2) / 2 - 4, 0)


def _text(text: str, x: float, y: float, width: float) -> Iterator[str]:
    """One line each, broken between words where a width is given."""
    lines = list(_lines(" ".join(text.split()), width))
    top = y - (len(lines) - 1) * LINE_HEIGHT / 2 if width else y
    for number, line in enumerate(lines):
        yield f'<text x="{x:g}" y="{top + number * LINE_HEIGHT:g}">{escape(line)}</text>'


def _lines(text: str, width: float) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}".strip()
        if line and width and len(longer) * CHARACTER_WIDTH > width:
            yield line
            line = word
        else:
            line = longer
    if line:
        yield line
