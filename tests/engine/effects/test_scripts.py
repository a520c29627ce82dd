"""JavaScript in script tasks: what a script sees, what it gives back, and what it cannot do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.effects.script_processes import ScriptProcesses
from engine.effects.scripts import JavaScript, ScriptLimits
from engine.kernel.env import ScriptError
from engine.kernel.errors import BpmnError


class Execution:
    """Remembers what a script set."""

    def __init__(self, *local_names: str) -> None:
        self.set: list[tuple[str, Any]] = []
        self.other: list[tuple[Any, ...]] = []
        self.task_fields: dict[str, Any] | None = None
        self._local_names = local_names

    def get_variable(self, name: str) -> Any:
        raise AssertionError(f"scripts read what was bound, found a question for {name}")

    def set_variable(self, name: str, value: Any) -> None:
        self.set.append((name, value))

    def local_names(self) -> tuple[str, ...]:
        return self._local_names

    def set_local(self, name: str, value: Any) -> None:
        self.other.append(("local", name, value))

    def set_transient(self, name: str, value: Any) -> None:
        self.other.append(("transient", name, value))

    def remove_variable(self, name: str) -> None:
        self.other.append(("remove", name))

    def remove_local(self, name: str) -> None:
        self.other.append(("remove local", name))

    def property(self, name: str) -> Any:
        return f"the {name}"

    def task(self) -> dict[str, Any] | None:
        return self.task_fields

    def call_task(self, method: str, value: Any) -> None:
        self.other.append((method, value))


@pytest.fixture
def execution() -> Iterator[Execution]:
    return Execution()


def run(source: str, execution: Execution | None = None, **variables: Any) -> tuple[Any, dict[str, Any]]:
    return JavaScript().run("javascript", source, variables, execution or Execution())


def test_the_value_is_that_of_the_last_expression() -> None:
    assert run("var c = a * 2; c + b", a=20, b=2)[0] == 42


def test_whole_numbers_come_back_as_int_and_others_as_float() -> None:
    value, _ = run("[3.0, 2.5, 6 / 3, -0, 1e300]")

    assert value == [3, 2.5, 2, 0, 1e300]
    assert [type(item) for item in value] == [int, float, int, int, float]


def test_values_keep_their_kinds() -> None:
    given = {"text": "ä", "none": None, "yes": True, "list": [1, {"deep": [None, "x"]}]}

    value, _ = run("({text: text, none: none, yes: yes, list: list})", **given)

    assert value == given
    assert value["yes"] is True


def test_dates_are_dates_both_ways() -> None:
    moment = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)

    value, assigned = run("var later = new Date(due.getTime() + 1000); due.getUTCDate()", due=moment)

    assert value == 31
    assert assigned == {"later": datetime(2026, 1, 31, 12, 30, 1, tzinfo=UTC)}


def test_bytes_are_byte_arrays_both_ways() -> None:
    assert run("raw[1] = 255; raw", raw=b"\x00\x01\x02")[0] == b"\x00\xff\x02"


def test_what_is_assigned_or_declared_at_top_level_is_told() -> None:
    _, assigned = run(
        "a = 5; var b2 = 'x'; let c = [1]; const d = {e: 2}; free = true; function f() { var inner = 1; } same = same;",
        a=1,
        same=7,
    )

    assert assigned == {"a": 5, "b2": "x", "c": [1], "d": {"e": 2}, "free": True}


def test_what_is_declared_in_a_block_stays_there() -> None:
    assert run("if (true) { let hidden = 1; const other = 2; }")[1] == {}


def test_variables_are_set_through_the_execution_in_order(execution: Execution) -> None:
    run("execution.setVariable('sum', a + b); execution.setVariables({x: null, y: [1]})", execution, a=1, b=2)

    assert execution.set == [("sum", 3), ("x", None), ("y", [1])]


def test_what_was_set_is_read_back_at_once(execution: Execution) -> None:
    value, assigned = run(
        "execution.setVariable('a', 5);"
        "[a, execution.getVariable('a'), execution.hasVariable('b'), execution.getVariable('b')]",
        execution,
        a=1,
    )

    assert value == [5, 5, False, None]
    assert assigned == {}


def test_properties_of_the_execution_are_read_as_fields_and_by_getters(execution: Execution) -> None:
    value, _ = run("execution.id + ', ' + execution.getProcessInstanceId()", execution)

    assert value == "the id, the processInstanceId"


def test_a_variable_named_execution_does_not_hide_the_execution(execution: Execution) -> None:
    value, _ = JavaScript().run("javascript", "execution.id", {"execution": 3}, execution)

    assert value == "the id"


def test_a_thrown_bpmn_error_is_one_and_keeps_what_was_set_before(execution: Execution) -> None:
    with pytest.raises(BpmnError) as thrown:
        run("execution.setVariable('seen', true); throw new BpmnError('NO_STOCK', 'sold out')", execution)

    assert (thrown.value.code, thrown.value.message) == ("NO_STOCK", "sold out")
    assert execution.set == [("seen", True)]


def test_the_java_name_of_the_bpmn_error_works_too() -> None:
    with pytest.raises(BpmnError, match="X"):
        run("throw new org.flowable.engine.delegate.BpmnError('X')")


def test_a_script_that_fails_names_line_and_reason_and_has_set_nothing(execution: Execution) -> None:
    with pytest.raises(ScriptError, match=r"line 3: ReferenceError: 'missing' is not defined"):
        run("execution.setVariable('a', 1);\n\nmissing.call()", execution)

    assert execution.set == []


@pytest.mark.parametrize("source", ["a b", "throw 'text'", "throw null", "null.x", "throw {toString() { throw 1 }}"])
def test_whatever_a_script_throws_is_a_script_error(source: str) -> None:
    with pytest.raises(ScriptError):
        run(source)


def test_a_forged_bpmn_error_is_a_script_error() -> None:
    with pytest.raises(ScriptError):
        run("throw {toString() { return '\\x01[1]' }}")


def test_an_endless_script_ends_at_its_limit() -> None:
    engine = JavaScript(ScriptLimits(script_seconds=0.05))

    with pytest.raises(ScriptError, match="script_seconds"):
        engine.run("javascript", "while (true) {}", {}, Execution())


def test_reading_the_outcome_is_within_the_limit_too() -> None:
    engine = JavaScript(ScriptLimits(script_seconds=0.05))

    with pytest.raises(ScriptError, match="script_seconds"):
        engine.run("javascript", "({toJSON() { while (true) {} }})", {}, Execution())


@pytest.mark.parametrize(
    "source",
    [
        "/(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!')",
        "Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)",
        "try { Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1) } finally { 1 }",
    ],
)
def test_a_single_step_that_does_not_end_ends_at_the_limit_and_scripts_go_on(source: str) -> None:
    engine = JavaScript(ScriptLimits(script_seconds=0.05))

    with pytest.raises(ScriptError, match="script_seconds"):
        engine.run("javascript", source, {}, Execution())

    assert engine.run("javascript", "1 + 1", {}, Execution())[0] == 2


def test_a_process_that_has_ended_while_idle_is_replaced() -> None:
    processes = ScriptProcesses()
    engine = JavaScript(processes=processes)
    engine.run("javascript", "1", {}, Execution())
    (idle,) = processes._idle
    idle.kill()
    idle.wait()

    assert engine.run("javascript", "1 + 1", {}, Execution())[0] == 2
    processes.close()


def test_no_process_is_left_when_they_are_closed() -> None:
    processes = ScriptProcesses()
    JavaScript(processes=processes).run("javascript", "1", {}, Execution())
    (idle,) = processes._idle

    processes.close()

    assert idle.returncode == 0


def test_a_process_of_scripts_knows_nothing_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLOOM_ENGINE_DATABASE_URL", "mysql://flowloom:secret@db/flowloom")
    processes = ScriptProcesses()
    JavaScript(processes=processes).run("javascript", "1", {}, Execution())
    (idle,) = processes._idle

    environment = Path(f"/proc/{idle.pid}/environ").read_bytes()

    processes.close()
    assert b"secret" not in environment


def test_a_greedy_script_ends_at_its_limit() -> None:
    engine = JavaScript(ScriptLimits(script_memory_bytes=4 * 1024 * 1024))

    with pytest.raises(ScriptError, match="script_memory_bytes"):
        engine.run("javascript", "var s = 'x'; while (true) s += s;", {}, Execution())


def test_endless_recursion_is_a_script_error() -> None:
    with pytest.raises(ScriptError, match="stack overflow"):
        run("function f() { return f() + 1 } f()")


def test_a_script_longer_than_the_limit_is_not_run() -> None:
    with pytest.raises(ScriptError, match="script_source_bytes"):
        JavaScript(ScriptLimits(script_source_bytes=10)).run("javascript", "1 + 1 + 1 + 1", {}, Execution())


@pytest.mark.parametrize(
    "name",
    [
        "require",
        "process",
        "std",
        "os",
        "fetch",
        "XMLHttpRequest",
        "__flowloom",
        "java.io",
        "java.lang.Runtime",
        "java.lang.Class",
        "java.lang.System.exit",
        "Packages.java.io",
        "Packages.javax",
    ],
)
def test_nothing_of_the_outside_is_in_reach(name: str) -> None:
    assert run(f"typeof {name}")[0] == "undefined"


def test_a_context_is_not_shared_between_scripts() -> None:
    engine = JavaScript()
    engine.run("javascript", "leak = 1; Object.prototype.leaked = 2;", {}, Execution())

    assert engine.run("javascript", "typeof leak + typeof ({}).leaked", {}, Execution())[0] == "undefinedundefined"


def test_replacing_intrinsics_does_not_spoil_the_outcome(execution: Execution) -> None:
    value, assigned = run(
        "JSON.stringify = null; Object.keys = null; Date = null; var a = 1; execution.setVariable('b', 2); 3", execution
    )

    assert (value, assigned["a"], execution.set) == (3, 1, [("b", 2)])


def test_numbers_that_json_cannot_write_survive() -> None:
    value, _ = run("[0 / 0, 1 / 0, -1 / 0, 12345678901234567n]")

    assert str(value) == "[nan, inf, -inf, 12345678901234567]"


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ScriptError, match="64 bits"):
        run("var big = 2n ** 70n;")


@pytest.mark.parametrize("name", ["__proto__", "undefined", "Object", "a b", "constructor"])
def test_any_name_of_a_variable_is_harmless(name: str) -> None:
    assert run("1 + 1", **{name: {"x": 1}}) == (2, {})


def test_another_language_is_refused() -> None:
    with pytest.raises(ScriptError, match="groovy"):
        JavaScript().run("groovy", "1", {}, Execution())


def test_local_and_transient_variables_are_set_as_such_and_read_back(execution: Execution) -> None:
    source = (
        "execution.setVariableLocal('a', 1); execution.setTransientVariable('t', 2);"
        "[execution.getVariableLocal('a'), execution.getVariable('a'), execution.hasVariableLocal('t'), t, a]"
    )

    value, assigned = run(source, execution)

    assert value == [1, 1, False, 2, 1]
    assert (execution.set, assigned) == ([], {})
    assert execution.other == [("local", "a", 1), ("transient", "t", 2)]


def test_only_the_execution_s_own_variables_are_local() -> None:
    source = (
        "[execution.getVariableLocal('own'), execution.getVariableLocal('outer'), execution.hasVariableLocal('outer'),"
        "execution.getVariablesLocal(), execution.getVariableNamesLocal()]"
    )

    value, _ = run(source, Execution("own"), own=1, outer=2)

    assert value == [1, None, False, {"own": 1}, ["own"]]


def test_a_removed_variable_is_gone_at_once() -> None:
    execution = Execution("own")
    source = (
        "execution.removeVariable('outer'); execution.removeVariableLocal('own');"
        "execution.removeVariableLocal('kept'); execution.removeVariable('nothing');"
        "[execution.hasVariable('outer'), typeof own, execution.getVariables()]"
    )

    value, assigned = run(source, execution, own=1, outer=2, kept=3)

    assert value == [False, "undefined", {"kept": 3}]
    assert assigned == {}
    assert execution.other == [("remove", "outer"), ("remove local", "own")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("var a = 1;\nvar = 2", "line 2: SyntaxError: variable name expected"),
        ("return 5", "line 1: SyntaxError: return not in a function"),
        ("let x = 1; let x = 2", "line 1: SyntaxError: invalid redefinition of lexical identifier"),
        ("while (true) {}", ""),
        ("unknown.name = 1", ""),
    ],
)
def test_a_script_that_cannot_be_read_is_told_without_running_it(source: str, expected: str) -> None:
    assert JavaScript().syntax_error("JavaScript", source) == expected


def test_a_script_of_another_language_is_not_read() -> None:
    assert JavaScript().syntax_error("groovy", "def x = ]") == ""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("var l = new java.util.ArrayList(); l.add('x'); l.addAll(given); l", ["x", "a", "b"]),
        (
            "var m = new java.util.HashMap(); m.put('k', 3); [m, m.get('k'), m.get('q'), m.size()]",
            [{"k": 3}, 3, None, 1],
        ),
        ("var s = new java.util.HashSet(); s.add('x'); s.add('x'); s", ["x"]),
        ("new Packages.java.lang.Integer('5')", 5),
        ("java.lang.Integer.parseInt('7') + 1", 8),
        ("var b = new java.lang.StringBuilder(); b.append('x').append(1); b.toString()", "x1"),
        ("var L = Java.type('java.util.ArrayList'); var l = new L(given); l.remove('a'); l", ["b"]),
        ("[given.size(), given.get(1), given.contains('a'), given.isEmpty()]", [2, "b", True, False]),
        ("[text.equals('One'), text.equalsIgnoreCase('one'), text.contains('n')]", [True, True, True]),
        ("[order.get('lines').get(0).get('n').asInt(), order.has('q'), order.path('q')]", [4, False, None]),
        ("importPackage(java.util); var l = new ArrayList(); l.add(1); l", [1]),
        ("print('seen'); println(1); console.log(2); 'quiet'", "quiet"),
        ("var found = []; for (var name in order) found.push(name); order.size(); found", ["lines"]),
    ],
)
def test_the_names_of_java_that_scripts_use_are_there(source: str, expected: Any) -> None:
    value, _ = run(source, given=["a", "b"], text="One", order={"lines": [{"n": 4}]})

    assert value == expected


def test_a_bpmn_error_may_be_named_by_its_package() -> None:
    with pytest.raises(BpmnError) as caught:
        run("var E = Packages.org.flowable.engine.delegate.BpmnError; throw new E('oops', 'why')")

    assert (caught.value.code, caught.value.message) == ("oops", "why")


def test_a_class_that_scripts_may_not_use_is_told() -> None:
    with pytest.raises(ScriptError, match=r"found 'java\.io\.File'"):
        run("Java.type('java.io.File')")


def test_a_task_listener_s_script_reads_and_changes_the_task() -> None:
    execution = Execution()
    execution.task_fields = {"name": "Check", "assignee": None}

    value, _ = run(
        "task.setAssignee('kermit'); task.addCandidateGroup('boss'); task.setVariable('x', 1);"
        "[task.name, task.getName(), task.getAssignee(), task.getVariable('x')]",
        execution,
    )

    assert value == ["Check", "Check", "kermit", 1]
    assert execution.other == [("setAssignee", "kermit"), ("addCandidateGroup", "boss")]
    assert execution.set == [("x", 1)]
