"""Settings: frozen values, complete when the process starts, read once from the environment.

A settings class is a frozen dataclass in which every field has a default, so that an empty environment works:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class EngineSettings:
        database_url: str = setting("sqlite:///flowloom.db", doc="Where the engine keeps its tables.", secret=True)
        lease_seconds: float = setting(300.0, doc="How long an executor owns a job.", minimum=1)
        server: ServerSettings = field(default_factory=ServerSettings)

    load(EngineSettings, os.environ, "FLOWLOOM_ENGINE_")  # FLOWLOOM_ENGINE_LEASE_SECONDS, …_SERVER_PORT, …

Field types: str, int, float, bool, Path, an Enum, tuple[str, ...] (comma-separated), each also `| None` (empty text is
None), and another settings class. Names end in their unit: `_seconds` is a number of seconds, not negative; `_url`
holds a scheme.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

S = TypeVar("S")
T = TypeVar("T")

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class SettingsError(Exception):
    """The environment does not fit; says everything that is wrong with it, one problem a line, in `problems`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One setting as a person reads about it; `default` is how the environment would spell it, hidden for a secret."""

    key: str
    kind: str
    default: str
    doc: str


def setting(
    default: T, *, doc: str, minimum: float | None = None, maximum: float | None = None, secret: bool = False
) -> T:
    """Declare a field with its default, a sentence about it, and the bounds (inclusive) of its number.

    A secret's value appears neither in descriptions nor in error messages nor in the `repr` of the settings.
    """
    metadata = {"doc": doc, "minimum": minimum, "maximum": maximum, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def load(cls: type[S], environ: Mapping[str, str], prefix: str) -> S:
    """Build `cls` from the variables of `environ` that start with `prefix` (such as `FLOWLOOM_ENGINE_`).

    What is unset takes its default. Raises SettingsError, naming all of them, if a variable with the prefix is unknown
    or holds what its field cannot be.
    """
    leaves = {leaf.key: leaf for leaf in _leaves(cls, prefix)}
    found = {key: text for key, text in environ.items() if key.startswith(prefix)}
    known = ", ".join(sorted(leaves))
    problems = [f"{key}: unknown setting; known are {known}" for key in sorted(found.keys() - leaves.keys())]
    values: dict[str, object] = {}
    for key, text in found.items():
        leaf = leaves.get(key)
        if leaf is None:
            continue
        try:
            values[key] = leaf.read(text)
        except ValueError as wrong:
            shown = "another value" if leaf.secret else repr(text)
            problems.append(f"{key}: expected {wrong}, found {shown}")
    if problems:
        raise SettingsError(tuple(problems))
    return _build(cls, prefix, values)


def describe(cls: type[object], prefix: str = "") -> tuple[Described, ...]:
    """Return what can be set, in the order of the class, nested settings in their place."""
    return tuple(
        Described(
            key=leaf.key, kind=leaf.kind, default="(hidden)" if leaf.secret else _spell(leaf.default), doc=leaf.doc
        )
        for leaf in _leaves(cls, prefix)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    key: str
    kind: str
    default: object
    doc: str
    secret: bool
    read: Callable[[str], object]


def _leaves(cls: type[object], prefix: str) -> Iterator[_Leaf]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(typing.cast("Any", cls)):
        key = prefix + field.name.upper()
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _leaves(typing.cast("type[object]", hint), key + "_")
            continue
        if field.default is dataclasses.MISSING:
            raise TypeError(f"{cls.__name__}.{field.name}: expected a default, so that an empty environment works")
        kind, read = _reader(hint, f"{cls.__name__}.{field.name}")
        bounded = _bounded(read, field.name, field.metadata.get("minimum"), field.metadata.get("maximum"))
        yield _Leaf(
            key=key,
            kind=kind,
            default=field.default,
            doc=field.metadata.get("doc", ""),
            secret=field.metadata.get("secret", False),
            read=bounded,
        )


def _build(cls: type[S], prefix: str, values: Mapping[str, object]) -> S:
    hints = typing.get_type_hints(cls)
    arguments: dict[str, object] = {}
    for field in dataclasses.fields(typing.cast("Any", cls)):
        key = prefix + field.name.upper()
        if dataclasses.is_dataclass(hints[field.name]):
            arguments[field.name] = _build(hints[field.name], key + "_", values)
        elif key in values:
            arguments[field.name] = values[key]
    return cls(**arguments)


def _reader(hint: object, where: str) -> tuple[str, Callable[[str], object]]:
    """Return the kind's name and what reads it from text; the reader raises ValueError saying what it expected."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(inner) == 1:
            kind, read = _reader(inner[0], where)
            return f"{kind}, or empty", lambda text: read(text) if text.strip() else None
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice(hint)
    if typing.get_origin(hint) is tuple and typing.get_args(hint) == (str, ...):
        return "texts, comma-separated", lambda text: tuple(part.strip() for part in text.split(",") if part.strip())
    for known, kind, read in _READERS:
        if hint is known:
            return kind, read
    raise TypeError(f"{where}: expected a type that the environment can hold, found {hint!r}")


def _read_bool(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("true or false")


def _read_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def _read_float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("a number") from None
    if not math.isfinite(number):
        raise ValueError("a finite number")
    return number


_READERS: Final[tuple[tuple[object, str, Callable[[str], object]], ...]] = (
    (str, "text", str),
    (bool, "true or false", _read_bool),
    (int, "whole number", _read_int),
    (float, "number", _read_float),
    (Path, "path", Path),
)


def _choice(kinds: type[Enum]) -> tuple[str, Callable[[str], object]]:
    by_text = {str(member.value): member for member in kinds}
    expected = "one of " + ", ".join(sorted(by_text))

    def read(text: str) -> object:
        if text.strip() not in by_text:
            raise ValueError(expected)
        return by_text[text.strip()]

    return expected, read


def _bounded(
    read: Callable[[str], object], name: str, minimum: float | None, maximum: float | None
) -> Callable[[str], object]:
    lowest = 0 if minimum is None and name.endswith("_seconds") else minimum

    def checked(text: str) -> object:
        value = read(text)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if lowest is not None and value < lowest:
                raise ValueError(f"at least {lowest:g}")
            if maximum is not None and value > maximum:
                raise ValueError(f"at most {maximum:g}")
        if name.endswith("_url") and isinstance(value, str) and value and ":" not in value:
            raise ValueError("a URL with its scheme, such as redis://host:6379/0")
        return value

    return checked


def _spell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)
