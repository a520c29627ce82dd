"""The files of a deployment to compiled definitions: which are BPMN, which processes they hold, what is wrong."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from engine.app.archives import DeploymentLimits, File, beyond, is_archive, unpack
from engine.app.diagram import draw
from engine.app.repository import DefinitionRecord
from engine.bpmn import xml
from engine.bpmn.compile import Identity, compile_process, executable_processes
from engine.bpmn.problems import InvalidModel
from engine.kernel.definition import Definition
from engine.kernel.errors import Refused, failed, invalid
from engine.kernel.reading import FLOW_ELEMENT_NAMESPACE, Problem, Source
from engine.kernel.registry import Registry

BPMN_SUFFIXES: Final = (".bpmn20.xml", ".bpmn")
MAX_NAME: Final = 255
MAX_DEFINITION_ID: Final = 64
PICTURE_SUFFIXES: Final = (".png", ".svg", ".jpg", ".gif")
SyntaxCheck: TypeAlias = Callable[[str, str], str]
"""Says why a script of a language cannot be read; empty if it can."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A compiled process without its place in the repository yet, and its picture (None: the file has no diagram)."""

    definition: Definition
    resource_name: str
    picture: File | None


def gather(uploads: Sequence[File], limits: DeploymentLimits) -> list[File]:
    """The files of a deployment, archives unpacked. Raises Refused for none, for a bad name or a name twice."""
    found: dict[str, File] = {}
    left = limits.deployment_bytes
    for file in _unpacked(uploads, limits):
        if not file.name or len(file.name) > MAX_NAME:
            said = f"{len(file.name)}"
            raise invalid("bad-resource-name", f"expected a resource name of 1 to {MAX_NAME} characters, found {said}")
        if file.name in found:
            raise invalid(
                "duplicate-resource", f"expected each name once, found '{file.name}' twice", resource=file.name
            )
        found[file.name] = file
        left -= len(file.data)
        if len(found) > limits.deployment_files:
            raise beyond("deployment_files", limits.deployment_files, None)
        if left < 0:
            raise beyond("deployment_bytes", limits.deployment_bytes, None)
    if not found:
        raise invalid("empty-deployment", "expected at least one resource, found none")
    return list(found.values())


def _unpacked(uploads: Sequence[File], limits: DeploymentLimits) -> Iterator[File]:
    for file in uploads:
        if is_archive(file.name):
            yield from unpack(file, limits)
        else:
            yield file


def read_models(
    files: Sequence[File],
    registry: Registry,
    limits: xml.ModelLimits | None = None,
    syntax_error: SyntaxCheck | None = None,
) -> list[Model]:
    """Compile every executable process of every BPMN file.

    Raises Refused (INVALID_ARGUMENT) with everything that is wrong: file, line, element and what was expected.
    """
    models: list[Model] = []
    broken: list[InvalidModel] = []
    names = {file.name for file in files}
    for file in files:
        try:
            root = _document(file, limits)
            if root is not None:
                models.extend(_processes(root, file, names, registry, syntax_error))
        except InvalidModel as error:
            broken.append(error)
    if broken:
        raise refusal_of(broken)
    _check_keys_differ(models)
    return models


def compile_stored(record: DefinitionRecord, data: bytes, registry: Registry) -> Definition:
    """Compile a definition of the repository from its file.

    Raises Refused (FAILED_PRECONDITION) if this release of the engine does not take it any more.
    """
    try:
        root = xml.parse(data, record.resource_name, xml.ACCEPTED)
        for process in executable_processes(root, record.resource_name):
            if process.id == record.key:
                return compile_process(root, process, registry, record.resource_name, identity_of(record))
    except InvalidModel as error:
        raise failed(
            "model-outdated", f"expected {record.id} to compile, found: {error}", process_definition_id=record.id
        ) from error
    raise failed("model-outdated", f"expected process '{record.key}' in {record.resource_name}, found it not")


def identity_of(record: DefinitionRecord) -> Identity:
    """Where a definition comes from, for the compiler."""
    return Identity(
        definition_id=record.id, version=record.version, deployment_id=record.deployment_id, tenant_id=record.tenant_id
    )


def placed(model: Model, *, version: int, deployment_id: str, tenant_id: str, unique: str) -> Definition:
    """The definition with its identity: Flowable's `key:version:unique`, or `unique` alone where that is too long."""
    key = model.definition.key
    readable = f"{key}:{version}:{unique}"
    fits = readable.isascii() and readable.isprintable() and "/" not in readable and len(readable) <= MAX_DEFINITION_ID
    return dataclasses.replace(
        model.definition,
        id=readable if fits else unique,
        version=version,
        deployment_id=deployment_id,
        tenant_id=tenant_id,
    )


def record_of(definition: Definition, picture: File | None) -> DefinitionRecord:
    """What the repository lists of a definition."""
    start = definition.process.start or next(iter(definition.starts), None)
    return DefinitionRecord(
        id=definition.id,
        key=definition.key,
        version=definition.version,
        tenant_id=definition.tenant_id,
        name=definition.name,
        description=definition.documentation,
        category=definition.category,
        deployment_id=definition.deployment_id,
        resource_name=definition.resource_name,
        diagram_resource_name=picture.name if picture is not None else "",
        start_form_key=getattr(start.props, "form_key", "") if start is not None else "",
    )


def refusal_of(broken: Sequence[InvalidModel]) -> Refused:
    """One refusal for all files; its facts name the first problem."""
    first = broken[0].problems[0]
    return invalid(
        "invalid-model",
        "; ".join(str(error) for error in broken),
        resource=broken[0].resource,
        element_id=first.element_id,
        line=str(first.line),
    )


def _document(file: File, limits: xml.ModelLimits | None) -> Source | None:
    """The parsed file if it is BPMN: by its name, or an .xml with BPMN's root element."""
    name = file.name.lower()
    if name.endswith(BPMN_SUFFIXES):
        return xml.parse(file.data, file.name, limits)
    if not name.endswith(".xml") or xml.BPMN.encode() not in file.data:
        return None
    root = xml.parse(file.data, file.name, limits)
    return root if root.tag == "definitions" and root.namespace == FLOW_ELEMENT_NAMESPACE else None


def _processes(
    root: Source, file: File, names: set[str], registry: Registry, syntax_error: SyntaxCheck | None
) -> Iterator[Model]:
    problems: list[Problem] = []
    for process in executable_processes(root, file.name):
        try:
            definition = compile_process(root, process, registry, file.name)
        except InvalidModel as error:
            problems.extend(error.problems)
            continue
        problems.extend(_too_long(definition))
        if syntax_error is not None:
            problems.extend(_unreadable_scripts(process, "", syntax_error))
        yield Model(
            definition=definition, resource_name=file.name, picture=_picture(root, definition, file.name, names)
        )
    if problems:
        raise InvalidModel(file.name, problems)


def _unreadable_scripts(source: Source, element_id: str, syntax_error: SyntaxCheck) -> Iterator[Problem]:
    """Scripts of tasks and listeners that would fail whenever they ran."""
    element_id = source.id or element_id
    if source.tag == "script":
        language = source.attributes.get("language") or source.attributes.get("scriptFormat", "")
        yield from _unreadable(language, source, element_id, syntax_error)
        return
    for child in source.children:
        if source.tag == "scriptTask" and child.tag == "script":
            yield from _unreadable(source.attributes.get("scriptFormat", ""), child, element_id, syntax_error)
        else:
            yield from _unreadable_scripts(child, element_id, syntax_error)


def _unreadable(language: str, script: Source, element_id: str, syntax_error: SyntaxCheck) -> Iterator[Problem]:
    found = syntax_error(language.strip(), script.text)
    if found:
        yield Problem(
            element_id=element_id, message=f"expected a script that can be read, found: {found}", line=script.line
        )


def _too_long(definition: Definition) -> Iterator[Problem]:
    """Names that the tables could not hold; they would fail only when an instance gets there."""
    texts = [("the id", node.id, node.id, node.line) for node in definition.nodes.values()]
    texts += [("the name", definition.name, definition.key, 0), ("the targetNamespace", definition.category, "", 0)]
    for what, text, element_id, line in texts:
        if len(text) > MAX_NAME:
            message = f"expected {what} to have at most {MAX_NAME} characters, found {len(text)}"
            yield Problem(element_id=element_id[:MAX_NAME], message=message, line=line)


def _picture(root: Source, definition: Definition, resource_name: str, names: set[str]) -> File | None:
    """The picture that came beside the file (`file.key.png` or `file.png`, as Flowable names them), or a drawn one."""
    base = resource_name
    for suffix in (*BPMN_SUFFIXES, ".xml"):
        if resource_name.lower().endswith(suffix):
            base = resource_name[: -len(suffix)]
            break
    for stem in (f"{base}.{definition.key}", base):
        for suffix in PICTURE_SUFFIXES:
            if stem + suffix in names:
                return File(stem + suffix, b"")
    drawing = draw(root, definition)
    return File(f"{base}.{definition.key}.svg"[-MAX_NAME:], drawing) if drawing is not None else None


def _check_keys_differ(models: Sequence[Model]) -> None:
    seen: dict[str, str] = {}
    for model in models:
        key = model.definition.key
        if key in seen:
            raise invalid(
                "duplicate-key",
                f"expected each process once in a deployment, found '{key}' in {seen[key]} and {model.resource_name}",
                process_definition_key=key,
            )
        seen[key] = model.resource_name
