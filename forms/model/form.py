"""A form as it was read from its model: what a submission is checked against."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

TEXTS: Final = frozenset({"text", "multi-line-text", "password", "hyperlink"})
NUMBERS: Final = frozenset({"integer", "decimal", "amount"})
CHOICES: Final = frozenset({"dropdown", "radio-buttons"})
IDENTITIES: Final = frozenset({"people", "functional-group"})
WRITTEN: Final = TEXTS | NUMBERS | CHOICES | IDENTITIES | {"date", "boolean", "upload"}
"""Types of fields that carry a value."""
CONTAINERS: Final = frozenset({"container", "group"})
"""Types that hold other fields, column by column."""
SHOWN: Final = frozenset({"expression", "headline", "headline-with-line", "spacer", "horizontal-line"})
"""Types that only show something; a value for them is refused."""
TYPES: Final = WRITTEN | CONTAINERS | SHOWN

Condition = bool | str
"""A fact of a field: known, or an expression (text) that whoever submits evaluates."""


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One choice. `id` is empty where the model names it only."""

    id: str
    name: str

    @property
    def value(self) -> str:
        """What the choice is stored as."""
        return self.id or self.name


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field that carries a value or shows something. Bounds that the model does not set are None, texts empty."""

    id: str
    type: str
    name: str = ""
    required: Condition = False
    read_only: Condition = False
    ignored: Condition = False
    options: tuple[Option, ...] = ()
    options_expression: str = ""
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    min_value: Decimal | None = None
    max_value: Decimal | None = None
    fraction_digits: int | None = None
    min_date: date | None = None
    max_date: date | None = None

    @property
    def is_written(self) -> bool:
        """Tell whether it carries a value at all."""
        return self.type in WRITTEN


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """A form with its fields in the order of the model, those of containers in their place.

    `model` is the JSON as it was deployed. `outcome_variable` is empty where the model does not name one.
    """

    key: str
    name: str
    description: str
    category: str
    fields: tuple[Field, ...]
    outcomes: tuple[Option, ...]
    outcome_variable: str
    model: Mapping[str, Any]

    def variable_of_outcome(self) -> str:
        """The variable that gets the outcome (Flowable's name where the model names none)."""
        return self.outcome_variable or f"form_{self.key}_outcome"
