"""What concerns a document as a whole: executable processes, ids that are missing, and what its root elements name."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from engine.bpmn.problems import InvalidModel
from engine.bpmn.schema import wrong_attributes
from engine.kernel.reading import FLOW_ELEMENT_NAMESPACE, Problem, Source

SIGNAL_SCOPES: Final = frozenset(("", "global", "processInstance"))
ROOT_REFERENCES: Final = ("message", "signal", "error", "escalation", "itemDefinition")
SCOPES: Final = frozenset(("subProcess", "transaction", "adHocSubProcess"))


def executable_processes(root: Source, resource: str) -> list[Source]:
    """The executable processes of a document (isExecutable is true by default in Flowable).

    Raises InvalidModel if there is no process, or none that is executable.
    """
    if root.tag != "definitions" or root.namespace != FLOW_ELEMENT_NAMESPACE:
        message = f"expected the root element 'definitions' of BPMN 2.0, found '{root.tag}'"
        raise InvalidModel(resource, [Problem(element_id="", message=message, line=root.line)])
    processes = list(root.all("process"))
    found = [p for p in processes if p.attributes.get("isExecutable", "true").strip().lower() != "false"]
    if not found:
        message = "expected an executable process, found " + ("none that is executable" if processes else "no process")
        raise InvalidModel(resource, [Problem(element_id="", message=message, line=root.line)])
    return found


def document_problems(root: Source, process: Source) -> Iterator[Problem]:
    """What is wrong outside of processes, and attributes that BPMN does not have, there and in the given process."""
    for source in (replace(root, children=()), process, *(s for tag in ROOT_REFERENCES for s in root.all(tag))):
        yield from wrong_attributes(source)
    yield from _signal_problems(root)
    for tag in ROOT_REFERENCES:
        seen: dict[str, int] = {}
        for source in root.all(tag):
            if source.id and source.id in seen:
                message = f"expected a unique id for the {tag}, found '{source.id}' already at line {seen[source.id]}"
                yield Problem(element_id=source.id, message=message, line=source.line)
            seen.setdefault(source.id, source.line)


def _signal_problems(root: Source) -> Iterator[Problem]:
    names: dict[str, str] = {}
    for signal in root.all("signal"):
        name = signal.attributes.get("name", "").strip()
        if not signal.id:
            yield Problem(element_id="", message="expected the signal to have an id, found none", line=signal.line)
        if not name:
            yield Problem(
                element_id=signal.id, message="expected the signal to have a name, found none", line=signal.line
            )
        elif name in names:
            message = f"expected each signal name once, found '{name}' at signal '{names[name]}' already"
            yield Problem(element_id=signal.id, message=message, line=signal.line)
        names.setdefault(name, signal.id)
        scope = signal.extension.get("scope", "")
        if scope not in SIGNAL_SCOPES:
            message = f"expected the scope of the signal to be global or processInstance, found '{scope}'"
            yield Problem(element_id=signal.id, message=message, line=signal.line)


def with_ids(source: Source) -> Source:
    """The same process with an id for every sub-process that has none (Flowable deploys those too)."""
    numbers = iter(range(1, 1_000_000))

    def visit(found: Source) -> Source:
        children = tuple(visit(child) for child in found.children)
        if any(new is not old for new, old in zip(children, found.children, strict=True)):
            found = replace(found, children=children)
        if found.tag in SCOPES and found.namespace == FLOW_ELEMENT_NAMESPACE and not found.id:
            found = replace(found, attributes={**found.attributes, "id": f"{found.tag}-without-id-{next(numbers)}"})
        return found

    return visit(source)
