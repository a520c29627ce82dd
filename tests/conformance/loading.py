"""The corpus: cases read from `scenarios/<area>/<name>.yaml`, models from `models/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CASE_KEYS: Final = frozenset({"id", "about", "tier", "origin", "models", "deployments", "steps"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its number (from 1), its word, and what stands behind the word."""

    number: int
    word: str
    args: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Models that are deployed together before the first step."""

    models: tuple[str, ...]
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. `problem` says why it cannot be run (empty: it can); it counts as failed then."""

    id: str
    tier: int
    deployments: tuple[Deployment, ...] = ()
    steps: tuple[Step, ...] = ()
    problem: str = ""

    @property
    def area(self) -> str:
        return self.id.partition("/")[0]


class Corpus:
    """A directory with `scenarios/` and `models/`."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError if the folder has no `scenarios`."""
        self._scenarios = folder / "scenarios"
        self._models = folder / "models"
        if not self._scenarios.is_dir():
            raise FileNotFoundError(f"expected a folder {self._scenarios}, found none")

    def cases(self, only: str = "", tier: int | None = None) -> list[Case]:
        """Return the cases in the order of their ids; `only` is an area or one case's id."""
        found = [self._case(path) for path in sorted(self._scenarios.glob("*/*.yaml"))]
        return [
            case
            for case in sorted(found, key=lambda case: case.id)
            if only in ("", case.area, case.id) and tier in (None, case.tier)
        ]

    def model(self, name: str) -> bytes:
        """Return the bytes of a model by its path below `models/`. Raises FileNotFoundError."""
        return (self._models / name).read_bytes()

    def models_of(self, folder: str) -> list[str]:
        """Return the BPMN files of a folder below `models/`, in order; none if there is no such folder."""
        return [path.relative_to(self._models).as_posix() for path in sorted((self._models / folder).glob("*.bpmn*"))]

    def _case(self, path: Path) -> Case:
        expected_id = f"{path.parent.name}/{path.stem}"
        try:
            return read_case(path.read_text(encoding="utf-8"), expected_id)
        except (yaml.YAMLError, ValueError, UnicodeDecodeError) as unreadable:
            return Case(id=expected_id, tier=0, problem=" ".join(str(unreadable).split()))


def read_case(text: str, expected_id: str) -> Case:
    """Read a case. Raises ValueError or YAMLError, saying what was expected and what was found."""
    document = yaml.safe_load(text)
    if not isinstance(document, Mapping):
        raise ValueError(f"expected a mapping, found {type(document).__name__}")  # noqa: TRY004 - one kind for all callers
    unknown = sorted(set(document) - CASE_KEYS)
    if unknown:
        raise ValueError(f"expected only {', '.join(sorted(CASE_KEYS))}, found {', '.join(map(str, unknown))}")
    if document.get("id") != expected_id:
        raise ValueError(f"expected the id {expected_id}, found {document.get('id')}")
    tier = document.get("tier")
    if tier not in (1, 2, 3):
        raise ValueError(f"expected tier 1, 2 or 3, found {tier}")
    return Case(
        id=expected_id,
        tier=tier,
        deployments=tuple(_deployments(document)),
        steps=tuple(_steps(document.get("steps"))),
    )


def _deployments(document: Mapping[str, Any]) -> Iterator[Deployment]:
    models = document.get("models") or []
    if models:
        yield Deployment(models=tuple(_names(models, "models")))
    for entry in document.get("deployments") or []:
        given = entry if isinstance(entry, Mapping) else {"models": [entry] if isinstance(entry, str) else entry}
        unknown = sorted(set(map(str, given)) - {"models", "tenant"})
        if unknown:
            raise ValueError(f"expected deployments with models and tenant, found {unknown[0]}")
        yield Deployment(models=tuple(_names(given.get("models"), "deployments")), tenant=str(given.get("tenant", "")))


def _names(given: object, where: str) -> Sequence[str]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"expected a list of model files in {where}, found {given!r}")
    return given


def _steps(given: object) -> Iterator[Step]:
    if not isinstance(given, list) or not given:
        raise ValueError("expected a list of steps, found none")
    for number, entry in enumerate(given, start=1):
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise ValueError(f"step {number}: expected one key, found {entry!r}")
        ((word, args),) = entry.items()
        yield Step(number=number, word=str(word), args=args)
