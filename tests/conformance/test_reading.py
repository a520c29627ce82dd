"""A refusal of a model is precise if it names a line or an element."""

from __future__ import annotations

import pytest

from tests.conformance.reading import is_precise

MODEL = b'<definitions><process id="p"><complexGateway id="_g-1"/></process></definitions>'


@pytest.mark.parametrize("message", ["a.bpmn: line 7: expected …", "element '_g-1' is not supported"])
def test_a_line_or_an_element_is_precise(message: str) -> None:
    assert is_precise(message, MODEL)


def test_anything_else_is_not() -> None:
    assert not is_precise("cannot deploy this", MODEL)
