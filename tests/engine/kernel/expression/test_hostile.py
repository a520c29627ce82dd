"""Nothing of Python can be reached, nothing grows without bound, no text makes the language fail in another way."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel.expression import ExpressionError, ExpressionSyntaxError, parse
from engine.kernel.expression.limits import (
    MAX_COMPARED_VALUES,
    MAX_EVALUATION_STEPS,
    MAX_INTEGER,
    MAX_NESTING_DEPTH,
    MAX_RESULT_CHARS,
    MAX_RESULT_ITEMS,
    MAX_TEXT_CHARS,
    MAX_TREE_DEPTH,
)
from tests.engine.kernel.expression.world import value_of, world


@pytest.mark.parametrize(
    "text",
    [
        "${''.__class__}",
        "${''.__class__.__mro__[1].__subclasses__()}",
        "${''['__class__']}",
        "${name.__class__()}",
        "${name.getClass()}",
        "${name.class}",
        "${execution.__init__}",
        "${execution.__init__()}",
        "${execution.__class__}",
        "${execution['__dict__']}",
        "${execution.methods}",
        "${execution.properties}",
        "${execution.label}",
        "${execution.getVariable.__globals__}",
        "${execution.getClass().forName('java.lang.Runtime')}",
        "${'%s'.format(execution)}",
        "${'{0.__class__}'.format(execution)}",
        "${colours.__len__()}",
        "${colours.append('x')}",
        "${amount.__add__(1)}",
        "${__import__('os')}",
        "${__builtins__}",
        "${open('x')}",
        "${self}",
        "${date:now().__class__}",
        "${date:now().strftime('%Y')}",
        "${picture.decode()}",
        "${T(java.lang.Runtime).getRuntime()}",
        "${9 ** 9}",
    ],
)
def test_hostile_expression_reaches_nothing(text: str) -> None:
    with pytest.raises(ExpressionError):
        value_of(text)


def test_member_named_like_a_python_attribute_is_only_a_key_of_a_map() -> None:
    assert value_of("${order.__class__}") is None
    assert value_of("${data.__class__}", data={"__class__": 1}) == 1


class Stranger:
    """An object outside the domain of values."""

    secret = "s"

    def leak(self) -> str:
        return self.secret


@pytest.mark.parametrize(
    "text", ["${x.secret}", "${x.leak()}", "${x['secret']}", "a ${x}", "${x + 1}", "${x < 1}", "${-x}", "${!x}"]
)
def test_object_outside_the_domain_of_values_is_closed(text: str) -> None:
    with pytest.raises(ExpressionError):
        value_of(text, x=Stranger())


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (f"${{{MAX_INTEGER} + 1}}", {}),
        ("${x * x * x}", {"x": 2**40}),
        ("${-x - x}", {"x": MAX_INTEGER}),
        ("${x * x}", {"x": 1e200}),
        ("${x / 0.1}", {"x": 1e308}),
        ("${x + 0.5}", {"x": 10**400}),
        ("${x == 0.5 || x + 1}", {"x": 10**400}),
        ("a ${x}", {"x": 10**5000}),
        ("${x.intValue()}", {"x": float("inf")}),
        ("${x + 1}", {"x": float("nan")}),
        ("${x % 3}", {"x": float("inf")}),
        ("${x + 1}", {"x": "9" * 100_000}),
        ("${x + 1}", {"x": "1e400"}),
        ("a ${x}", {"x": [float("nan")]}),
    ],
)
def test_number_cannot_leave_its_range(text: str, variables: dict[str, Any]) -> None:
    with pytest.raises(ExpressionError):
        value_of(text, **variables)


@pytest.mark.parametrize(
    "text", ["${x.concat(x)}", "${x.replace('', x)}", "${x.replace('a', 'bb')}", "${x}${x}", "${vars:base64(x)}"]
)
def test_text_cannot_grow_beyond_its_limit(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"expected a text of at most"):
        value_of(text, x="a" * (MAX_RESULT_CHARS - 10))


@pytest.mark.parametrize("text", ["${x.split(',')}", "${x.split('')}", "${m.keySet()}", "${m.values()}"])
def test_list_cannot_grow_beyond_its_limit(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"expected at most"):
        value_of(text, x="," * (MAX_RESULT_ITEMS + 1), m={str(n): n for n in range(MAX_RESULT_ITEMS + 1)})


@pytest.mark.parametrize(
    "text",
    [
        "${x == y}",
        "${x.equals(y)}",
        "${x.contains(-1)}",
        "${x.containsAll(y)}",
        "${vars:contains(x, y)}",
        "${[x] == [y]}",
    ],
)
def test_work_of_comparing_long_lists_is_bounded(text: str) -> None:
    with pytest.raises(ExpressionError, match="expected to compare at most"):
        value_of(text, x=list(range(MAX_COMPARED_VALUES + 1)), y=list(range(MAX_COMPARED_VALUES + 1)))


def test_searching_backwards_takes_linear_time() -> None:
    assert value_of("${x.lastIndexOf(y)}", x="a" * 500_000, y="b" + "a" * 250_000) == -1


@pytest.mark.parametrize(
    "text",
    [
        "${" + "(" * (MAX_NESTING_DEPTH + 1) + "1" + ")" * (MAX_NESTING_DEPTH + 1) + "}",
        "${" + "-" * (MAX_NESTING_DEPTH + 1) + "1}",
        "${" + "[" * 5000 + "}",
        "${" + "{'a':" * 5000 + "}",
        "${" + "a ? 1 : " * (MAX_NESTING_DEPTH + 1) + "1}",
        "${1" + "+1" * (MAX_TREE_DEPTH + 1) + "}",
        "${a" + ".a" * (MAX_TREE_DEPTH + 1) + "}",
        "${[" + "1," * MAX_EVALUATION_STEPS + "1]}",
        "${1}" * (MAX_EVALUATION_STEPS + 1),
        "${1}" + " " * MAX_TEXT_CHARS,
        "${" + "1" * 5000 + "}",
    ],
    ids=range(11),
)
def test_expression_that_is_too_large_is_refused_before_it_is_run(text: str) -> None:
    with pytest.raises(ExpressionSyntaxError):
        parse(text)


def test_large_expressions_within_the_limits_work() -> None:
    nested = MAX_NESTING_DEPTH - 1

    assert value_of("${" + "(" * nested + "1" + ")" * nested + "}") == 1
    assert value_of("${1" + "+1" * (MAX_TREE_DEPTH - 2) + "}") == MAX_TREE_DEPTH - 1
    assert value_of("${false" + " || amount == 1" * 200 + "}") is False
    assert value_of("x" * (MAX_TEXT_CHARS + 1)) == "x" * (MAX_TEXT_CHARS + 1)


def test_deeply_nested_value_is_an_error_not_a_crash() -> None:
    deep: list[Any] = []
    other: list[Any] = []
    for _ in range(5_000):
        deep, other = [deep], [other]

    for text in ("a ${deep}", "${deep == other}"):
        with pytest.raises(ExpressionError):
            value_of(text, deep=deep, other=other)


_WORDS = st.sampled_from(
    [
        *("amount", "name", "order", "colours", "due", "picture", "nothing", "execution", "absent", "__class__", "é"),
        *("vars:get(", "vars:contains(", "date:format(", "task:get(", ".", "[", "]", "(", ")", "{", "}", ",", ":", "?"),
        *("+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">=", "&&", "||", "!", "not", "empty", "and", "or", "="),
        *("div", "mod", "eq", "true", "false", "null", "1", "0", "1.5", "9223372036854775807", "'x'", '"y"', "''", "'"),
        *(".length()", ".size()", ".get(", ".split(", ".replace(", ".price", ".lines", "[0]", ".getVariable("),
        *(".setVariable(", "$", "#", "${", "#{", "\\"),
    ]
)
_OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">=", "&&", "||", "and", "mod"])


def _fails_only_as_it_may(text: str) -> None:
    try:
        parse(text).evaluate(world())
    except ExpressionError as error:
        assert error.message
        assert str(error)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_value_or_an_expression_error(text: str) -> None:
    _fails_only_as_it_may(text)
    _fails_only_as_it_may("${" + text + "}")


@settings(max_examples=300, deadline=None)
@given(st.lists(_WORDS, max_size=14))
def test_any_sequence_of_words_is_a_value_or_an_expression_error(words: list[str]) -> None:
    _fails_only_as_it_may("${" + " ".join(words) + "}")


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    methods = [
        "length",
        "size",
        "get",
        "split",
        "concat",
        "contains",
        "substring",
        "charAt",
        "intValue",
        "asText",
        "equals",
        "getTime",
    ]
    return st.one_of(
        st.tuples(inner, _OPERATORS, inner).map(" ".join),
        st.tuples(st.sampled_from(["-", "!", "empty "]), inner).map("".join),
        st.tuples(inner, inner, inner).map(lambda parts: "({} ? {} : {})".format(*parts)),
        st.tuples(inner, st.sampled_from(methods), st.lists(inner, max_size=2)).map(
            lambda parts: f"({parts[0]}).{parts[1]}({', '.join(parts[2])})"
        ),
        st.tuples(inner, inner).map(lambda parts: "({})[{}]".format(*parts)),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    )


_ATOMS = st.sampled_from(
    [
        "amount",
        "name",
        "order",
        "colours",
        "due",
        "day",
        "picture",
        "nothing",
        "execution",
        "1",
        "0",
        "-2.5",
        "'7'",
        "true",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.recursive(_ATOMS, _grown, max_leaves=8))
def test_any_well_formed_expression_parses_and_gives_a_value_or_an_expression_error(source: str) -> None:
    expression = parse("${" + source + "}")

    try:
        expression.evaluate(world())
    except ExpressionError as error:
        assert not isinstance(error, ExpressionSyntaxError)
        assert error.text == expression.text
