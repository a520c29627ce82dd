"""The methods that plain values answer to, by kind of value: all that an expression can call on them.

They follow `java.lang.String`, `java.util.List` and `Map`, Jackson's nodes and `java.time` in name and outcome.
Nothing changes a value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from engine.kernel.expression.coercion import (
    bounded_double,
    bounded_integer,
    bounded_text,
    is_empty,
    kind_of,
    to_boolean,
    to_integer,
    to_moment,
    to_number,
    to_text,
)
from engine.kernel.expression.errors import ExpressionError
from engine.kernel.expression.exposed import Exposed, Value
from engine.kernel.expression.limits import MAX_RESULT_CHARS, MAX_RESULT_ITEMS
from engine.kernel.expression.operators import contains_all, index_of, member, order, same


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """`call` gets the value and then between `least` and `most` arguments."""

    call: Callable[..., Value]
    least: int
    most: int


def _method(call: Callable[..., Value], least: int = 0, most: int | None = None) -> Method:
    return Method(call=call, least=least, most=least if most is None else most)


# Texts ----------------------------------------


def _substring(text: str, start: Value, end: Value = None) -> Value:
    first, last = to_integer(start), len(text) if end is None else to_integer(end)
    if not 0 <= first <= last <= len(text):
        raise ExpressionError(f"expected a range within 0 and {len(text)}, found {first} to {last}")
    return text[first:last]


def _char_at(text: str, index: Value) -> Value:
    place = to_integer(index)
    if not 0 <= place < len(text):
        raise ExpressionError(f"expected an index from 0 to below {len(text)}, found {place}")
    return text[place]


def _replace(text: str, old: Value, new: Value) -> Value:
    before, after = to_text(old), to_text(new)
    grown = len(text) + text.count(before) * (len(after) - len(before))
    if grown > MAX_RESULT_CHARS:
        raise ExpressionError(f"expected a text of at most {MAX_RESULT_CHARS} characters, found {grown}")
    return text.replace(before, after)


def _last_index_of(text: str, part: Value) -> Value:
    """Searched backwards on purpose: searching forwards is linear in the worst case, `rfind` is quadratic."""
    sought = to_text(part)
    place = text[::-1].find(sought[::-1])
    return -1 if place < 0 else len(text) - place - len(sought)


def _split(text: str, separator: Value, limit: Value = None) -> Value:
    """By the separator as it stands (no regular expression); empty parts at the end are dropped, as Java drops them."""
    mark, most = to_text(separator), 0 if limit is None else to_integer(limit)
    if (text.count(mark) if mark else len(text)) >= MAX_RESULT_ITEMS:
        raise ExpressionError(f"expected at most {MAX_RESULT_ITEMS} parts, found more")
    parts = text.split(mark, most - 1 if most > 0 else -1) if mark else list(text)
    while most == 0 and len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def _hash(text: str) -> Value:
    """That of `java.lang.String`: 32 bits with a sign, over UTF-16 units."""
    units = text.encode("utf-16-be", "surrogatepass")
    found = 0
    for place in range(0, len(units), 2):
        found = (31 * found + int.from_bytes(units[place : place + 2], "big")) & 0xFFFFFFFF
    return found - (1 << 32) if found >= 1 << 31 else found


def _number_or_zero(text: str) -> int | float:
    """Jackson's `asInt` and its kin give 0 for what is no number."""
    try:
        return to_number(text)
    except ExpressionError:
        return 0


_TEXT: Final[Mapping[str, Method]] = {
    "length": _method(len),
    "hashCode": _method(_hash),
    "isEmpty": _method(lambda text: not text),
    "isBlank": _method(lambda text: not text.strip()),
    "contains": _method(lambda text, part: to_text(part) in text, 1),
    "startsWith": _method(lambda text, part: text.startswith(to_text(part)), 1),
    "endsWith": _method(lambda text, part: text.endswith(to_text(part)), 1),
    "equalsIgnoreCase": _method(lambda text, other: isinstance(other, str) and text.lower() == other.lower(), 1),
    "compareTo": _method(lambda text, other: order(text, to_text(other)), 1),
    "compareToIgnoreCase": _method(lambda text, other: order(text.lower(), to_text(other).lower()), 1),
    "toUpperCase": _method(lambda text: bounded_text(text.upper())),
    "toLowerCase": _method(lambda text: bounded_text(text.lower())),
    "trim": _method(lambda text: text.strip()),
    "strip": _method(lambda text: text.strip()),
    "substring": _method(_substring, 1, 2),
    "charAt": _method(_char_at, 1),
    "indexOf": _method(lambda text, part: text.find(to_text(part)), 1),
    "lastIndexOf": _method(_last_index_of, 1),
    "replace": _method(_replace, 2),
    "split": _method(_split, 1, 2),
    "concat": _method(lambda text, other: bounded_text(text + to_text(other)), 1),
    "textValue": _method(lambda text: text),
    "asInt": _method(lambda text: to_integer(_number_or_zero(text))),
    "asLong": _method(lambda text: to_integer(_number_or_zero(text))),
    "asDouble": _method(lambda text: bounded_double(float(_number_or_zero(text)))),
    "asBoolean": _method(to_boolean),
}

# Numbers and booleans ----------------------------------------


def _whole(number: int | float) -> Value:
    return bounded_integer(to_integer(number))


def _double(number: int | float) -> Value:
    return bounded_double(float(number))


_NUMBER: Final[Mapping[str, Method]] = {
    **{name: _method(_whole) for name in ("intValue", "longValue", "asInt", "asLong")},
    **{name: _method(_double) for name in ("doubleValue", "floatValue", "asDouble")},
    "compareTo": _method(lambda number, other: order(number, to_number(other)), 1),
}

_BOOLEAN: Final[Mapping[str, Method]] = {
    "booleanValue": _method(lambda value: value),
    "asBoolean": _method(lambda value: value),
    "compareTo": _method(lambda value, other: order(value, to_boolean(other)), 1),
}

# Lists and maps ----------------------------------------


def _item(items: list[Any], index: Value) -> Value:
    place = to_integer(index)
    if not 0 <= place < len(items):
        raise ExpressionError(f"expected an index from 0 to below {len(items)}, found {place}")
    found: Value = items[place]
    return found


def _contains(items: list[Any], wanted: Value) -> bool:
    return index_of(items, wanted) >= 0


def _contains_all(items: list[Any], wanted: Value) -> bool:
    if not isinstance(wanted, list | tuple):
        raise ExpressionError(f"expected a list, found {kind_of(wanted)}")
    return contains_all(items, wanted)


def _bounded_items(items: list[Any]) -> list[Any]:
    if len(items) > MAX_RESULT_ITEMS:
        raise ExpressionError(f"expected at most {MAX_RESULT_ITEMS} items, found {len(items)}")
    return items


def _refuse_change(*_: Value) -> Value:
    raise ExpressionError(
        "expected a method that reads, found one that changes a value (set a new value with setVariable)"
    )


_CONTAINER: Final[Mapping[str, Method]] = {
    "size": _method(len),
    "isEmpty": _method(is_empty),
    "path": _method(member, 1),
    **{
        name: _method(_refuse_change, 0, 3)
        for name in ("add", "addAll", "remove", "removeAll", "clear", "set", "put", "putAll", "putIfAbsent", "sort")
    },
}

_LIST: Final[Mapping[str, Method]] = {
    **_CONTAINER,
    "get": _method(_item, 1),
    "contains": _method(_contains, 1),
    "containsAll": _method(_contains_all, 1),
    "indexOf": _method(index_of, 1),
    "has": _method(lambda items, index: 0 <= to_integer(index) < len(items), 1),
}

_MAP: Final[Mapping[str, Method]] = {
    **_CONTAINER,
    "get": _method(member, 1),
    "getOrDefault": _method(lambda entries, key, default: entries.get(to_text(key), default), 2),
    "containsKey": _method(lambda entries, key: to_text(key) in entries, 1),
    "containsValue": _method(lambda entries, value: _contains(list(entries.values()), value), 1),
    "has": _method(lambda entries, key: to_text(key) in entries, 1),
    "hasNonNull": _method(lambda entries, key: entries.get(to_text(key)) is not None, 1),
    "keySet": _method(lambda entries: _bounded_items(list(entries))),
    "values": _method(lambda entries: _bounded_items(list(entries.values()))),
}

# Dates ----------------------------------------

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _epoch_milliseconds(value: date) -> Value:
    return (to_moment(value) - _EPOCH) // timedelta(milliseconds=1)


def _before(value: date, other: Value) -> bool:
    return to_moment(value) < to_moment(other)


def _after(value: date, other: Value) -> bool:
    return to_moment(value) > to_moment(other)


_DATE: Final[Mapping[str, Method]] = {
    "getTime": _method(_epoch_milliseconds),
    "toEpochMilli": _method(_epoch_milliseconds),
    "getYear": _method(lambda value: value.year),
    "getMonthValue": _method(lambda value: value.month),
    "getDayOfMonth": _method(lambda value: value.day),
    "toLocalDate": _method(lambda value: date(value.year, value.month, value.day)),
    **{name: _method(_before, 1) for name in ("before", "isBefore")},
    **{name: _method(_after, 1) for name in ("after", "isAfter")},
    "compareTo": _method(lambda value, other: order(value, to_moment(other)), 1),
}

# Every kind ----------------------------------------

_ANY: Final[Mapping[str, Method]] = {
    "equals": _method(same, 1),
    "toString": _method(to_text),
    "asText": _method(lambda value: "" if isinstance(value, list | tuple | dict) else to_text(value)),
    "isNull": _method(lambda value: value is None),
    "isMissingNode": _method(lambda value: value is None),
    "isArray": _method(lambda value: isinstance(value, list | tuple)),
    "isObject": _method(lambda value: isinstance(value, dict)),
    "isTextual": _method(lambda value: isinstance(value, str)),
    "isNumber": _method(lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    "isBoolean": _method(lambda value: isinstance(value, bool)),
}

# A missing member of JSON is null here, where Jackson has a node that can be asked; `a.path('b').asText()` must work.
_NULL: Final[Mapping[str, Method]] = {
    "path": _method(lambda _value, _key: None, 1),
    **{name: _ANY[name] for name in ("asText", "isNull", "isMissingNode")},
}

_METHODS: Final[tuple[tuple[type | tuple[type, ...], Mapping[str, Method]], ...]] = (
    (str, {**_ANY, **_TEXT}),
    (bool, {**_ANY, **_BOOLEAN}),
    ((int, float), {**_ANY, **_NUMBER}),
    ((list, tuple), {**_ANY, **_LIST}),
    (dict, {**_ANY, **_MAP}),
    (date, {**_ANY, **_DATE}),
    (type(None), _NULL),
    (bytes, {"size": _method(len), "length": _method(len), "equals": _ANY["equals"]}),
)


def read(target: Value, key: Value) -> Value:
    """`target.key` or `target[key]`."""
    if isinstance(target, Exposed):
        get = target.properties.get(key) if isinstance(key, str) else None
        if get is None:
            raise ExpressionError(f"expected a property of {target.label!r}, found {to_text(key)!r}")
        return guarded(f"{target.label}.{to_text(key)}", get, ())
    if isinstance(target, date) and key == "time":
        return _epoch_milliseconds(target)
    return member(target, key)


def call(target: Value, name: str, arguments: list[Value]) -> Value:
    """`target.name(arguments)`. Raises `ExpressionError` for all but an allowed method with arguments that suit it."""
    if isinstance(target, Exposed):
        return _call_exposed(target, name, arguments)
    methods = next((methods for kind, methods in _METHODS if isinstance(target, kind)), None)
    method = None if methods is None else methods.get(name)
    if method is not None:
        if not method.least <= len(arguments) <= method.most:
            wanted = method.least if method.least == method.most else f"{method.least} to {method.most}"
            raise ExpressionError(f"expected {wanted} arguments for {name}, found {len(arguments)}")
        return guarded(name, method.call, arguments, target)
    key = _bean_property(name, arguments)
    if key is not None and isinstance(target, dict) and key in target:
        found: Value = target[key]
        return found
    raise ExpressionError(f"expected a method of {kind_of(target)}, found {name!r}")


def _call_exposed(target: Exposed, name: str, arguments: list[Value]) -> Value:
    method = target.methods.get(name)
    if method is not None:
        return guarded(f"{target.label}.{name}", method, arguments)
    key = _bean_property(name, arguments)
    if key is not None and key in target.properties:
        return guarded(f"{target.label}.{key}", target.properties[key], ())
    raise ExpressionError(f"expected a method of {target.label!r}, found {name!r}")


def _bean_property(name: str, arguments: list[Value]) -> str | None:
    """The property that a getter reads by the bean convention: `getName()` reads `name`, `isEnded()` reads `ended`."""
    for prefix in ("get", "is"):
        rest = name.removeprefix(prefix)
        if not arguments and rest != name and rest[:1].isupper():
            return rest[0].lower() + rest[1:]
    return None


def guarded(name: str, function: Callable[..., Value], arguments: Sequence[Value], *receiver: object) -> Value:
    """Call, and turn the errors that wrong arguments cause into `ExpressionError`; other errors are the callee's."""
    try:
        return function(*receiver, *arguments)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        found = ", ".join(map(kind_of, arguments)) or "none"
        raise ExpressionError(f"expected arguments that suit {name}, found {found}") from error
