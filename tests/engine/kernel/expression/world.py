"""A small world that the tests evaluate in."""

from datetime import UTC, date, datetime
from typing import Any

from engine.kernel.expression import Exposed, MappingContext, Value, parse

NOW = datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=UTC)


def world(**variables: Any) -> MappingContext:
    """A context with an `execution` that sets and gets variables, a task "t1", and the given variables among others."""
    known: dict[str, Value] = {
        "amount": 150,
        "name": "Ada",
        "approved": True,
        "nothing": None,
        "blank": "",
        "numeral": "12",
        "order": {"price": 200, "lines": [{"sku": "a"}, {"sku": "b"}], "customer": {"name": "Bo"}, "note": None},
        "colours": ["red", "green"],
        "picture": b"\x00\x01",
        "due": datetime(2026, 3, 5, tzinfo=UTC),
        "day": date(2026, 3, 5),
        **variables,
    }

    def set_variable(key: str, value: Value) -> Value:
        known[key] = value
        return None

    execution = Exposed(
        "execution",
        properties={"id": lambda: "e-1", "processInstanceId": lambda: "p-1", "variables": lambda: dict(known)},
        methods={
            "setVariable": set_variable,
            "getVariable": lambda key: known.get(key),
            "hasVariable": lambda key: key in known,
            "fail": lambda: (_ for _ in ()).throw(RuntimeError("a bug")),
        },
    )
    task = Exposed("task", properties={"assignee": lambda: "kermit"}, methods={})
    return MappingContext(known, now=NOW, objects={"execution": execution, "task": task}, tasks={"t1": task})


def value_of(text: str, **variables: Any) -> Value:
    return parse(text).evaluate(world(**variables))
