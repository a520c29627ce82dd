"""Requests that no client means: for each REST binding of the contract, fields at and beyond their ends."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode

from google.protobuf.descriptor import FieldDescriptor

from tests.contract.described import VARIABLE, Binding, Rpc

MAX_DEPTH: Final = 3
LONG: Final = ("x" * 256, "x" * 5000, "\N{BEAR FACE}" * 100)
TEXTS: Final = ("", "\x00", "'; drop table task", "%", "_", "a,b", "\uffff", "\\", "[", "*", "null", "-1", *LONG)
SEGMENTS: Final = ("\x00", "a/b", "..", " ", "a:b", "a?b", "\u202e", *TEXTS[2:])
NUMBERS: Final = (-1, 0, 1, 2**31 - 1, -(2**31))
FRACTIONS: Final = (0, -1, 1e308, "NaN", "Infinity")
MOMENTS: Final = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2026-01-01T00:00:00.123456789+14:00")
VALUES: Final = (
    None,
    "x",
    "\x00",
    "x" * 70_000,
    1,
    1e308,
    2**53,
    True,
    [],
    {},
    [None],
    {"a": {"b": [1, None]}},
    {"": 1},
)
WORDS: Final = MappingProxyType(
    {
        "operation": ("equals", "like", "greaterThan", "notEqualsIgnoreCase", "exists", "x"),
        "type": ("string", "integer", "long", "double", "date", "json", "binary", "boolean", "null", "x"),
        "scope": ("local", "global", "x"),
        "sort": ("id", "name", "x"),
        "order": ("asc", "desc", "x"),
        "action": ("complete", "claim", "suspend", "delete", "move", "x"),
    }
)
"""Fields whose right words open more doors than odd ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OddRequest:
    """What is sent; `content` None: no body."""

    verb: str
    url: str
    content: str | None


class Oddities:
    """Makes odd requests; the same seed makes the same ones."""

    def __init__(self, seed: int, known: Mapping[str, str]) -> None:
        """`known`: ids of things that are there, by the name of the field that holds them."""
        self._random = random.Random(seed)
        self._known = known

    def requests(self, rpc: Rpc, count: int) -> Iterator[OddRequest]:
        """Return some requests for each binding of a method; of a list also one for each text that it filters by."""
        for binding in rpc.bindings:
            for _ in range(count):
                yield self._request(rpc, binding)
            if not binding.body and rpc.name.startswith("List"):
                yield from self._filters(rpc, binding)

    def _filters(self, rpc: Rpc, binding: Binding) -> Iterator[OddRequest]:
        """Filters that meet others hide behind them: one by one."""
        for field in rpc.method.input_type.fields:
            if field.type == FieldDescriptor.TYPE_STRING and field.name not in binding.variables:
                query = urlencode({field.json_name: self._random.choice(("\x00", "x" * 256))})
                yield OddRequest(verb=binding.verb, url=f"{self._path(binding)}?{query}", content=None)

    def _path(self, binding: Binding) -> str:
        return VARIABLE.sub(lambda found: self._segment(found[1], found[2] or ""), binding.template)

    def _request(self, rpc: Rpc, binding: Binding) -> OddRequest:
        fields = [field for field in rpc.method.input_type.fields if field.name not in binding.variables]
        path = self._path(binding)
        if not binding.body:
            query = [pair for field in fields if self._random.random() < 0.25 for pair in self._pairs(field)]
            return OddRequest(verb=binding.verb, url=path + ("?" + urlencode(query) if query else ""), content=None)
        if binding.body == "*":
            body: Any = {field.json_name: self._value(field) for field in fields if self._random.random() < 0.5}
        else:
            body = self._value(rpc.method.input_type.fields_by_name[binding.body])
        return OddRequest(verb=binding.verb, url=path, content=json.dumps(body))

    def _segment(self, name: str, pattern: str) -> str:
        if pattern and "*" not in pattern:
            return pattern
        known = self._known.get(name)
        odd = known is None or self._random.random() < 0.4
        return quote(self._random.choice(SEGMENTS) or "x" if odd else str(known), safe="")

    def _pairs(self, field: FieldDescriptor) -> Iterator[tuple[str, str]]:
        value = self._value(field)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str | int | float):
                yield field.json_name, str(one).lower() if isinstance(one, bool) else str(one)

    def _value(self, field: FieldDescriptor, depth: int = 0) -> Any:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return {self._random.choice(TEXTS): self._random.choice(VALUES)}
        if field.is_repeated:
            return [self._single(field, depth) for _ in range(self._random.randint(0, 3))]
        return self._single(field, depth)

    def _single(self, field: FieldDescriptor, depth: int) -> Any:
        if field.message_type is not None:
            return self._message(field, depth)
        if field.type == FieldDescriptor.TYPE_STRING:
            if field.name in self._known and self._random.random() < 0.3:
                return self._known[field.name]
            return self._random.choice(WORDS.get(field.name, TEXTS))
        choices: Mapping[int, tuple[Any, ...]] = {
            FieldDescriptor.TYPE_BOOL: (True, False),
            FieldDescriptor.TYPE_BYTES: ("", "AAAA", "?"),
            FieldDescriptor.TYPE_DOUBLE: FRACTIONS,
        }
        return self._random.choice(choices.get(field.type, NUMBERS))

    def _message(self, field: FieldDescriptor, depth: int) -> Any:
        kind = field.message_type
        plain: Mapping[str, Callable[[], Any]] = {
            "google.protobuf.Timestamp": lambda: self._random.choice(MOMENTS),
            "google.protobuf.Value": lambda: self._random.choice(VALUES),
            "google.protobuf.Struct": lambda: {self._random.choice(TEXTS): self._random.choice(VALUES)},
            "google.api.HttpBody": dict,
        }
        if kind.full_name in plain:
            return plain[kind.full_name]()
        if depth == MAX_DEPTH:
            return {}
        return {each.json_name: self._value(each, depth + 1) for each in kind.fields if self._random.random() < 0.7}
