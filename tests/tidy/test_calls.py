"""Who calls whom: the table of docs/ARCHITECTURE.md against the stubs that each service's code makes."""

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

from host.edge import PORT as GATEWAY_PORT
from host.services import SERVICES

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "ARCHITECTURE.md"
ROW: Final = re.compile(r"^\| (\w+) \| (\d+) \| ([\w, ]+|–) \|", re.MULTILINE)
MODULE: Final = re.compile(r"flowloom\.(\w+)\.v1(\.\w+)?")
IMPLEMENTED_BY_OTHERS: Final = frozenset(("saga",))
"""Contracts that others implement and register with us: no service of the mesh answers them."""


def stubs_in(source: str) -> set[str]:
    """The packages of contracts whose stubs some code names."""
    tree = ast.parse(source)
    found: set[str] = set()
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (match := MODULE.fullmatch(node.module or "")):
            for alias in node.names:
                if alias.name.endswith("Stub"):
                    found.add(match[1])
                modules[alias.asname or alias.name] = match[1]
    for node in ast.walk(tree):
        is_stub = isinstance(node, ast.Attribute) and node.attr.endswith("Stub")
        if is_stub and isinstance(node.value, ast.Name) and node.value.id in modules:
            found.add(modules[node.value.id])
    return found


def calls_of(folder: Path) -> set[str]:
    return {package for path in folder.rglob("*.py") for package in stubs_in(path.read_text())}


def declared() -> Mapping[str, tuple[int, set[str]]]:
    """Port and called services of each service, as the page tells."""
    section = PAGE.read_text().partition("## Who calls whom")[2].partition("\n## ")[0]
    return {
        service: (int(port), set() if calls == "–" else set(calls.split(", ")))
        for service, port, calls in ROW.findall(section)
    }


def services() -> Iterator[str]:
    for path in sorted(ROOT.iterdir()):
        if (path / "service.py").exists() or (path / "service" / "__init__.py").exists():
            yield path.name


def test_stubs_are_found_however_they_are_imported() -> None:
    by_name = "from flowloom.forms.v1.form_service_pb2_grpc import FormServiceStub\n"
    by_module = "from flowloom.notify.v1 import x_pb2_grpc as services\nstub = services.XServiceStub(channel)\n"
    none = "from flowloom.engine.v1 import task_pb2\nfrom flowloom.engine.v1 import x_pb2_grpc\nx_pb2_grpc.XServicer\n"

    assert [stubs_in(source) for source in (by_name, by_module, none)] == [{"forms"}, {"notify"}, set()]


def test_each_service_calls_whom_the_page_says() -> None:
    found = {service: calls_of(ROOT / service) - IMPLEMENTED_BY_OTHERS for service in services()}

    assert {service: calls for service, (_, calls) in declared().items()} == found


def test_the_page_tells_every_port() -> None:
    ports = {service: hosted.port for service, hosted in SERVICES.items()} | {"gateway": GATEWAY_PORT}

    assert {service: port for service, (port, _) in declared().items()} == ports


def test_nobody_calls_in_a_circle_also_through_the_guards() -> None:
    # Whoever starts services makes stubs for their guards only; the command line and the demo are clients.
    guards = {package for path in (ROOT / "host").glob("*.py") for package in stubs_in(path.read_text())}

    assert guards == {"identity"}
    graph = {service: (calls | guards) - {service} for service, (_, calls) in declared().items()}
    assert next(iter(TopologicalSorter(graph).static_order())) == "identity"


def test_contracts_of_others_are_answered_by_no_service_of_ours() -> None:
    answering = [
        str(path.relative_to(ROOT))
        for service in services()
        for path in (ROOT / service).rglob("*.py")
        for package in IMPLEMENTED_BY_OTHERS
        if re.search(rf"flowloom\.{package}\.v1", text := path.read_text()) and "Servicer" in text
    ]

    assert answering == []
