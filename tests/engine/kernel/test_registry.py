"""Every element and every event definition is one module with one kind and one test."""

from pathlib import Path

import pytest

from engine.kernel import elements, registry, triggers
from engine.kernel.definition import ElementKind, TriggerKind

TESTS = Path(__file__).parent


def modules(package: str) -> list[str]:
    paths = elements.__path__ if package == "elements" else triggers.__path__
    return sorted(path.stem for path in Path(next(iter(paths))).glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize(
    ("package", "module"), [(p, m) for p in ("elements", "triggers") for m in modules(p)], ids=lambda value: str(value)
)
def test_each_module_has_a_test_of_its_own(package: str, module: str) -> None:
    assert (TESTS / package / f"test_{module}.py").is_file()


def test_all_modules_are_found_and_bring_one_kind_each() -> None:
    found = registry.load()

    assert len(found.elements) == len(modules("elements"))
    assert len(found.triggers) == len(modules("triggers"))
    assert all(isinstance(kind, ElementKind) for kind in found.elements.values())
    assert all(isinstance(trigger, TriggerKind) for trigger in found.triggers.values())
