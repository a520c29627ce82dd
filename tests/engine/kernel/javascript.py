"""A small JavaScript runner for kernel tests: values go in and come out as JSON, nothing else is reachable."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import quickjs

from engine.kernel.env import ScriptApi, ScriptError

PRELUDE = """
var __sets = [];
function __declare(json) {
  var all = JSON.parse(json);
  for (var name in all) { globalThis[name] = all[name]; }
  return all;
}
var __known = {};
var execution = {
  getVariable: function (name) { return name in __known ? __known[name] : null; },
  hasVariable: function (name) { return name in __known; },
  setVariable: function (name, value) {
    __known[name] = value;
    __sets.push([name, value === undefined ? null : value]);
  },
  getProcessInstanceId: function () { return __properties.processInstanceId; },
  getProcessBusinessKey: function () { return __properties.businessKey; },
  getCurrentActivityId: function () { return __properties.currentActivityId; }
};
"""
PROPERTIES = ("processInstanceId", "businessKey", "currentActivityId")
MEMORY_BYTES = 32 * 1024 * 1024
TIME_SECONDS = 2


class JavaScript:
    """Scripts of the languages that Flowable's JavaScript engines answer to."""

    def run(
        self, language: str, source: str, variables: Mapping[str, Any], api: ScriptApi
    ) -> tuple[Any, dict[str, Any]]:
        del language
        context = quickjs.Context()
        context.set_memory_limit(MEMORY_BYTES)
        context.set_time_limit(TIME_SECONDS)
        properties = {name: api.property(name) for name in PROPERTIES}
        given = json.dumps(dict(variables), default=_plain)
        try:
            context.eval(f"var __properties = {json.dumps(properties)};" + PRELUDE)
            context.eval(f"__known = __declare({json.dumps(given)});")
            context.eval("var __before = Object.keys(globalThis);")
            context.set("__source", source)
            context.eval("var __result = (0, eval)(__source);")
            value = _read(context, "__result")
            sets = _read(context, "__sets")
            known = _read(context, "Object.keys(globalThis).filter(function (n) { return n.slice(0, 2) !== '__'; })")
            after = {name: _read(context, f"globalThis[{json.dumps(name)}]") for name in known if name != "execution"}
        except quickjs.JSException as error:
            raise ScriptError(str(error)) from error
        for name, assigned in sets:
            api.set_variable(name, assigned)
        before = json.loads(given)
        return value, {name: now for name, now in after.items() if name not in before or before[name] != now}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _read(context: quickjs.Context, what: str) -> Any:
    text = context.eval(f"(function (v) {{ return JSON.stringify(v === undefined ? null : v); }})({what})")
    return None if text is None or not isinstance(text, str) else json.loads(text)
