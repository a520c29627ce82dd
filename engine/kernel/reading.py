"""What an element sees of its XML, and where it reports what is wrong.

`Source` is a neutral tree that the BPMN reader builds: tags and plain attributes by local name, extension attributes
(flowable, activiti, camunda) merged under theirs. The kernel never sees an XML library.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.kernel.expression import Expression, ExpressionSyntaxError, parse

FLOW_ELEMENT_NAMESPACE = "bpmn"
EXTENSION_NAMESPACE = "extension"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An XML element: `namespace` is `bpmn`, `extension` (Flowable's family) or the foreign URI."""

    tag: str
    namespace: str = FLOW_ELEMENT_NAMESPACE
    attributes: dict[str, str] = field(default_factory=dict)
    extension: dict[str, str] = field(default_factory=dict)
    children: tuple["Source", ...] = ()
    text: str = ""
    line: int = 0

    @property
    def id(self) -> str:
        return self.attributes.get("id", "")

    def child(self, tag: str) -> "Source | None":
        """The first BPMN child of that tag."""
        return next((c for c in self.children if c.tag == tag and c.namespace == FLOW_ELEMENT_NAMESPACE), None)

    def all(self, tag: str) -> Iterator["Source"]:
        """BPMN children of that tag, in document order."""
        return (c for c in self.children if c.tag == tag and c.namespace == FLOW_ELEMENT_NAMESPACE)

    def extensions(self, tag: str = "") -> Iterator["Source"]:
        """Children of `extensionElements` in Flowable's family of namespaces, optionally of one tag."""
        holder = self.child("extensionElements")
        if holder is not None:
            for found in holder.children:
                if found.namespace == EXTENSION_NAMESPACE and (not tag or found.tag == tag):
                    yield found

    def text_of(self, tag: str) -> str:
        """The stripped text of the first child of that tag, or ''."""
        found = self.child(tag)
        return found.text.strip() if found is not None else ""

    def flag(self, name: str, *, default: bool = False) -> bool:
        """An extension attribute as a boolean."""
        found = self.extension.get(name)
        return default if found is None else found.strip().lower() == "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a model that keeps it from being deployed: where (element id, line) and what was expected."""

    element_id: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        where = f"element '{self.element_id}'" if self.element_id else "the document"
        return f"line {self.line}, {where}: {self.message}" if self.line else f"{where}: {self.message}"


def read_fields(source: Source) -> dict[str, str]:
    """The `field` extensions of an element or directly inside an extension element, as text by name (Flowable)."""
    found: dict[str, str] = {}
    for each in (*source.extensions("field"), *(c for c in source.children if c.tag == "field")):
        text = each.attributes.get("stringValue") or each.attributes.get("expression")
        if text is None:
            inner = next((c for c in each.children if c.tag in ("string", "expression")), None)
            text = inner.text if inner is not None else ""
        found[each.attributes.get("name", "")] = text
    return found


class Reader:
    """Collects problems and parses expressions while a model is read."""

    def __init__(self, globals_by_tag: dict[str, dict[str, Source]] | None = None) -> None:
        self.problems: list[Problem] = []
        self._globals = globals_by_tag or {}
        self._parsed: dict[str, Expression] = {}

    def problem(self, source: Source, message: str, element_id: str = "") -> None:
        self.problems.append(Problem(element_id=element_id or source.id, message=message, line=source.line))

    def expression(self, source: Source, text: str | None, what: str, element_id: str = "") -> Expression | None:
        """The parsed text, None if there is none; a fault is a problem of the element."""
        if text is None or not text.strip():
            return None
        text = text.strip()
        found = self._parsed.get(text)
        if found is None:
            try:
                found = parse(text)
            except ExpressionSyntaxError as error:
                self.problem(source, f"{what}: {error}", element_id)
                return None
            self._parsed[text] = found
        return found

    def referenced(self, tag: str, reference: str) -> Source | None:
        """A root element of the document (message, signal, error, escalation, itemDefinition) by id."""
        name = reference.split(":", 1)[-1]
        family = self._globals.get(tag, {})
        return family.get(reference) or family.get(name)
