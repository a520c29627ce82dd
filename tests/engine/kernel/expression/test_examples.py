"""Expressions as Flowable models write them."""

from typing import Any

import pytest

from tests.engine.kernel.expression.world import value_of

EXAMPLES: list[tuple[str, dict[str, Any], Any]] = [
    ("plain text", {}, "plain text"),
    ("", {}, ""),
    ("${amount}", {}, 150),
    ("#{amount}", {}, 150),
    ("${ amount }", {}, 150),
    ("${amount > 100 && approved}", {}, True),
    ("${amount > 100 and not approved}", {}, False),
    ("${!approved}", {}, False),
    ("${true}", {}, True),
    ("${null}", {}, None),
    ("${'user1, user2'}", {}, "user1, user2"),
    ("${1+1}", {}, 2),
    ("${5-2}", {}, 3),
    ("${y+5}", {"y": 10}, 15),
    ("${amount * 2}", {}, 300),
    ("${input == -3}", {"input": -3}, True),
    ("${input == 'right'}", {"input": "left"}, False),
    ("${nrOfCompletedInstances/nrOfInstances >= 0.6 }", {"nrOfCompletedInstances": 3, "nrOfInstances": 5}, True),
    ("${nrOfCompletedInstances/nrOfInstances >= 0.6 }", {"nrOfCompletedInstances": 2, "nrOfInstances": 5}, False),
    ("${order.price > 100 && order.price < 250}", {}, True),
    ("${order.customer.name == 'Bo' && order.note == null}", {}, True),
    ("${order['price']}", {}, 200),
    ("${order.lines[1].sku}", {}, "b"),
    ("${order.lines[1]['sku']}", {}, "b"),
    ("${order.missing}", {}, None),
    ("${order.missing.further}", {}, None),
    ("${colours[5]}", {}, None),
    ("${gender == 'male' ? 'Mr.' : 'Mrs.'} ${name}", {"gender": "male"}, "Mr. Ada"),
    ("${first-name}", {"first": 3, "name": 1}, 2),
    ("Vacation ${days} days for ${name}", {"days": 3}, "Vacation 3 days for Ada"),
    ("Mixed #{amount} and ${name}", {}, "Mixed 150 and Ada"),
    ('{ "from": "${name}", "n": ${amount} }', {}, '{ "from": "Ada", "n": 150 }'),
    ("escaped \\${amount} and ${amount}", {}, "escaped ${amount} and 150"),
    ("a lone $ and # and } stay", {}, "a lone $ and # and } stay"),
    ("${execution.id}", {}, "e-1"),
    ("${execution.getId()}", {}, "e-1"),
    ("${execution.processInstanceId}-${execution.getProcessInstanceId()}", {}, "p-1-p-1"),
    ("${execution.getVariable('name')}", {}, "Ada"),
    ('${execution.setVariable("x", amount)}', {}, None),
    ("${task:get('t1').assignee}", {}, "kermit"),
    ("${variables:get(name)}", {}, "Ada"),
    ('${variables:get(absent) == "go to A"}', {}, False),
    ("${vars:getOrDefault(absent, 123) > 100}", {}, True),
    ("${vars:equals(decision, 'goUp')}", {"decision": "goUp"}, True),
    ("${empty blank && empty nothing && !empty colours}", {}, True),
    ("${approved ? vars:get('amount') : 0}", {}, 150),
    ("${approved ? name : amount}", {}, "Ada"),
    ("${approved ? amount:name}", {}, 150),
    ("${amount gt 100 ? amount lt 200 ? 'middle' : 'high' : 'low'}", {}, "middle"),
    ("${name.substring(0, 1).toLowerCase().concat('-').concat(amount)}", {}, "a-150"),
    ("${'{}'}", {}, "{}"),
    ("${'}'}${\"it's\"}", {}, "}it's"),
    ("${'it\\'s \\\\ here'}", {}, "it's \\ here"),
    ("${[1, name, [true]]}", {}, [1, "Ada", [True]]),
    ("${{'a': 1, 'b': {'c': name}}.b.c}", {}, "Ada"),
    ("${[]}", {}, []),
    ("${{}}", {}, {}),
    ("${order.customer.getName()}", {}, "Bo"),
    ("${größe}", {"größe": 1}, 1),
    ("${a.div + a.empty}", {"a": {"div": 1, "empty": 2}}, 3),
]


@pytest.mark.parametrize(("text", "variables", "expected"), EXAMPLES, ids=[text for text, _, _ in EXAMPLES])
def test_expression_gives_the_value_that_a_modeller_expects(
    text: str, variables: dict[str, Any], expected: Any
) -> None:
    value = value_of(text, **variables)

    assert value == expected
    assert type(value) is type(expected)
