"""Makes docs/elements.md from the registry: `python -m tests.tidy.support_table` writes it; a test compares it."""

import importlib
import inspect
from pathlib import Path

from engine.kernel import elements, registry, triggers
from engine.kernel.definition import Position

PAGE = Path(__file__).parents[2] / "docs" / "elements.md"


def page() -> str:
    """The whole page."""
    found = registry.load()
    lines = [
        "# What can be executed",
        "",
        "Made from the engine's registry by `python -m tests.tidy.support_table`. An element that is not here is",
        "refused at deployment, with its line and its id.",
        "",
        "## Elements",
        "",
        "| element | `flowable:type` | in histories | what it does |",
        "| --- | --- | --- | --- |",
    ]
    for (tag, variant), kind in sorted(found.elements.items()):
        lines.append(
            f"| `{tag}` | {f'`{variant}`' if variant else ''} | {kind.type} | {_about(elements, 'KIND', kind)} |"
        )
    lines += [
        "",
        "## Event definitions",
        "",
        "| event definition | where it may stand | what it does |",
        "| --- | --- | --- |",
    ]
    for tag, trigger in sorted(found.triggers.items()):
        places = ", ".join(position.value for position in Position if position in trigger.positions)
        lines.append(f"| `{tag}` | {places} | {_about(triggers, 'TRIGGER', trigger)} |")
    return "\n".join(lines) + "\n"


def _about(package: object, name: str, wanted: object) -> str:
    """The first line of the module that brings a kind."""
    folder = Path(inspect.getfile(package)).parent  # type: ignore[arg-type]
    for path in sorted(folder.glob("*.py")):
        module = importlib.import_module(f"{package.__name__}.{path.stem}")  # type: ignore[attr-defined]
        if getattr(module, name, None) is wanted:
            return (inspect.getdoc(module) or "").splitlines()[0]
    raise LookupError(f"expected a module that brings {wanted}, found none")


if __name__ == "__main__":
    PAGE.write_text(page())
