"""What is not an expression, and what an expression tells about itself."""

import pytest

from engine.kernel.expression import ExpressionError, ExpressionSyntaxError, Function, UnknownName, parse
from tests.engine.kernel.expression.world import value_of, world


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("${", 2),
        ("${}", 2),
        ("${a", 3),
        ("text ${a +}", 10),
        ("${a = 1}", 4),
        ("${a += 1}", 5),
        ("${a b}", 4),
        ("${(a}", 4),
        ("${a[1}", 5),
        ("${a.}", 4),
        ("${a.1}", 3),
        ("${f(1}", 2),
        ("${a.f(1 2)}", 8),
        ("${a ? b}", 7),
        ("${'open}", 2),
        ("${'bad \\x escape'}", 2),
        ("${and}", 2),
        ("${[1,]}", 5),
        ("${{a: 1}}", 3),
        ("${{'a' 1}}", 7),
        ("${1abc}", 3),
        ("${a & b}", 4),
        ("${x -> x}", 5),
        ("${a; b}", 3),
        ("${unknown:fn(1)}", 2),
        ("${vars:get()}", 2),
        ("${vars:get(a, b)}", 2),
        ("${date:now(1)}", 2),
        ("${99999999999999999999}", 2),
        ("${1e999}", 2),
    ],
)
def test_malformed_text_is_refused_at_the_place_of_the_fault(text: str, position: int) -> None:
    with pytest.raises(ExpressionSyntaxError, match=r"expected .*, found") as raised:
        parse(text)

    assert raised.value.position == position
    assert raised.value.text == text


def test_unknown_root_is_an_unknown_name_with_its_place() -> None:
    with pytest.raises(UnknownName, match="unknown property used in expression") as raised:
        value_of("${1 + absent}")

    assert raised.value.name == "absent"
    assert raised.value.position == 6


def test_root_names_are_those_read_and_those_asked_for_by_function() -> None:
    expression = parse("${a.b + c[d] > vars:get(e) ? execution.getVariable('f') : vars:get('g')} ${a}")

    assert expression.root_names == {"a", "c", "d", "e", "g", "execution"}


def test_only_a_text_without_expressions_is_a_literal() -> None:
    assert parse("plain").is_literal
    assert parse("\\${plain}").is_literal
    assert not parse("${'x'}").is_literal
    assert parse("plain").root_names == frozenset()


def test_expressions_are_equal_if_their_text_is() -> None:
    assert parse("${a}") == parse("${a}")
    assert parse("${a}") != parse("#{a}")
    assert len({parse("${a}"), parse("${a}")}) == 1


def test_further_function_can_be_given_to_the_parser() -> None:
    double = Function(call=lambda _context, number: number * 2, least=1, most=1)

    assert parse("${my:double(amount)}", {"my:double": double}).evaluate(world()) == 300


def test_function_prefix_wins_over_the_colon_of_a_conditional_only_if_known() -> None:
    assert value_of("${true ? x : vars:get(name)}", x=1) == 1
    assert value_of("${false ? x : vars:get(name)}", x=1) == "Ada"
    assert value_of("${true ? (vars:get(name)) : 1}") == "Ada"
    with pytest.raises(ExpressionSyntaxError):
        parse("${true ? x:missing(1)}")


def test_assigning_to_a_name_sets_the_variable() -> None:
    context = world()

    parse("${result}").assign(context, 7)

    assert context.variables["result"] == 7


def test_assigning_to_a_member_replaces_the_variable_and_leaves_the_old_value_alone() -> None:
    context = world(key="price")
    before = context.variables["order"]

    parse("${order.lines[1].sku}").assign(context, "z")
    parse("${order[key]}").assign(context, 1)

    assert value_of("${order.lines}", order=context.variables["order"]) == [{"sku": "a"}, {"sku": "z"}]
    assert value_of("${order.price}", order=context.variables["order"]) == 1
    assert before == world().variables["order"]


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "${a + 1}",
        "a ${name}",
        "${1}",
        "${order.size()}",
        "${absent.x}",
        "${amount.x}",
        "${colours[9]}",
        "${execution.id}",
    ],
)
def test_assigning_to_what_is_no_place_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError, match="expected"):
        parse(text).assign(world(), 1)


def test_list_literal_is_a_new_list_in_each_evaluation() -> None:
    expression = parse("${[1]}")
    first = expression.evaluate(world())
    assert isinstance(first, list)

    first.append(2)

    assert expression.evaluate(world()) == [1]
