"""Hardened XML to neutral sources: no entities, no network, bounded size and depth (OWASP's advice on XML)."""

from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from engine.bpmn.problems import InvalidModel
from engine.kernel.reading import EXTENSION_NAMESPACE, FLOW_ELEMENT_NAMESPACE, Problem, Source

BPMN: Final = "http://www.omg.org/spec/BPMN/20100524/MODEL"
FAMILY: Final = ("http://camunda.org/schema/1.0/bpmn", "http://activiti.org/bpmn", "http://flowable.org/bpmn")
"""Namespaces of extension attributes; a later one wins where several are given (Flowable's own first)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """Named bounds of one document; each can be moved by a setting of the engine."""

    model_bytes: int = 10 * 1024 * 1024
    model_depth: int = 128
    """How deep elements may be nested. The library itself stops at 256."""

    def too_deep(self) -> str:
        """Say that a document goes deeper."""
        return f"expected elements nested at most {self.model_depth} deep (limit: model_depth), found more"


ACCEPTED: Final = ModelLimits(model_bytes=2**31, model_depth=256)
"""For what was deployed already: a limit that was lowered since does not take it away."""


def parse(data: bytes, resource: str, limits: ModelLimits | None = None) -> Source:
    """Parse a document into its root source. Raises InvalidModel naming the resource, the line and what was found."""
    limits = limits or ModelLimits()
    if len(data) > limits.model_bytes:
        message = f"expected at most {limits.model_bytes} bytes (limit: model_bytes), found {len(data)}"
        raise InvalidModel(resource, [Problem(element_id="", message=message)])
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        # The library has a limit of its own, beyond ours.
        too_deep = "Excessive depth" in (error.msg or "")
        message = limits.too_deep() if too_deep else f"expected well-formed XML, found: {error.msg}"
        raise InvalidModel(resource, [Problem(element_id="", message=message, line=line)]) from None
    if root.getroottree().docinfo.doctype:
        raise InvalidModel(
            resource, [Problem(element_id="", message="expected no document type declaration, found one")]
        )
    return _source(root, resource, 0, limits)


def _source(element: Any, resource: str, depth: int, limits: ModelLimits) -> Source:
    if depth > limits.model_depth:
        problem = Problem(element_id="", message=limits.too_deep(), line=element.sourceline or 0)
        raise InvalidModel(resource, [problem])
    namespace, tag = _split(element.tag)
    plain: dict[str, str] = {}
    family: dict[str, dict[str, str]] = {}
    for name, value in element.attrib.items():
        uri, local = _split(name)
        if not uri:
            plain[local] = value
        elif uri in FAMILY:
            family.setdefault(uri, {})[local] = value
    extension: dict[str, str] = {}
    for uri in FAMILY:
        extension.update(family.get(uri, {}))
    return Source(
        tag=tag,
        namespace=_family(namespace),
        attributes=plain,
        extension=extension,
        children=tuple(_source(child, resource, depth + 1, limits) for child in element if isinstance(child.tag, str)),
        text=_text(element),
        line=element.sourceline or 0,
    )


def _text(element: Any) -> str:
    return (element.text or "") + "".join(child.tail or "" for child in element)


def _split(name: str) -> tuple[str, str]:
    uri, found, local = name.rpartition("}")
    return (uri[1:], local) if found else ("", name)


def _family(uri: str) -> str:
    if uri == BPMN:
        return FLOW_ELEMENT_NAMESPACE
    return EXTENSION_NAMESPACE if uri in FAMILY else uri
