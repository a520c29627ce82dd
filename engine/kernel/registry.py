"""Finds the elements and event definitions: every module of `elements/` and `triggers/` brings one."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

from engine.kernel import elements, triggers
from engine.kernel.definition import ElementKind, TriggerKind


@dataclass(frozen=True, slots=True)
class Registry:
    """Element kinds by (tag, variant) and trigger kinds by tag."""

    elements: Mapping[tuple[str, str], ElementKind]
    triggers: Mapping[str, TriggerKind]


def load() -> Registry:
    """Import every module and take what it brings. Raises ValueError for two that claim the same tag."""
    kinds: dict[tuple[str, str], ElementKind] = {}
    for kind in _brought(elements, "KIND"):
        _add(kinds, (kind.tag, kind.variant), kind)
    found: dict[str, TriggerKind] = {}
    for trigger in _brought(triggers, "TRIGGER"):
        _add(found, trigger.tag, trigger)
    return Registry(MappingProxyType(kinds), MappingProxyType(found))


def _add(known: dict[Any, Any], key: Any, value: Any) -> None:
    if key in known:
        raise ValueError(f"expected one module to bring {key}, found two")
    known[key] = value


def _brought(package: ModuleType, name: str) -> list[Any]:
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [getattr(importlib.import_module(f"{package.__name__}.{module}"), name) for module in names]
