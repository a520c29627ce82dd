"""JavaScript for script tasks: each script runs in a fresh QuickJS context, bounded in time and memory, in a process
of its own (see `script_processes`).

What a script sees:
- the visible variables by name: JSON-like values as JavaScript's own, dates as `Date` (so that they can be compared and
  reckoned with), bytes as `Uint8Array`. Numbers are doubles: an integer is exact up to 2^53 - 1;
- `execution` with `getVariable`, `setVariable`, `hasVariable`, `removeVariable`, `getVariables`, `setVariables`,
  `getVariableNames`, the same with `Local` at the end for the execution's own variables, `setTransientVariable`, and
  the read-only properties below, each also as a getter (`execution.id`, `execution.getId()`);
- in task listeners `task` with getters and setters of its fields, and the same methods for variables;
- `BpmnError(code, message)`, to be thrown; Flowable's name for it, `org.flowable.engine.delegate.BpmnError`, works too;
- a few classes and methods of Java (see `script_prelude`).

A script cannot reach Python: the values go in and come out as JSON text, and what it sets is carried out when it has
ended. A script that fails has set nothing; one that throws a BPMN error keeps what it set before.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec

from engine.effects import script_worker
from engine.effects.script_prelude import java_names
from engine.effects.script_processes import ScriptCrash, ScriptProcesses, ScriptRun, ScriptTooLong, shared_processes
from engine.kernel.env import ScriptApi, ScriptError
from engine.kernel.errors import BpmnError
from engine.kernel.values import Value

LANGUAGES: Final = frozenset(("javascript", "js", "ecmascript", "nashorn", "rhino", "graal.js"))
PROPERTIES: Final = (
    "id",
    "parentId",
    "processInstanceId",
    "rootProcessInstanceId",
    "superExecutionId",
    "processDefinitionId",
    "processDefinitionKey",
    "processInstanceBusinessKey",
    "businessKey",
    "currentActivityId",
    "currentActivityName",
    "activityId",
    "tenantId",
    "startUserId",
    "name",
)

_TAG: Final = script_worker.TAG
_LINE: Final = re.compile(r"<input>:(\d+)")
_STACK: Final = re.compile(r"\n(?:    at |undefined$|$)")
_DECLARED: Final = re.compile(r"\b(?:let|const|class)\s+([A-Za-z_$][\w$]*)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_BITS: Final = 63
_SOURCE_NAME_LENGTH: Final = 200

# Binds the variables and gives back the function that reads the outcome. It keeps the intrinsics that it needs, so a
# script that replaces them spoils its own values only. The script is a program of its own, so its lines count from 1.
# A context lives for one script and has to read all this first, so parts that a script cannot need are left out.
_BEGIN: Final = """(function(t){const G=globalThis,S=JSON.stringify,K=Object.keys,is=Object.is,D=Date,B=Uint8Array,
i=JSON.parse(t),v=i.v,b={},c=[],h=(n,v)=>Object.defineProperty(G,n,{value:v,writable:true,configurable:true});
b.__proto__=null;v.__proto__=null;
"""
_READ_ONLY: Final = "(function(t){return function(){return ''}})"
_DATES: Final = "for(const n of i.d)v[n]=new D(v[n]);\n"
_BINARIES: Final = """for(const n of i.b){const x=v[n],u=new B(x.length/2);
for(let k=0;k<u.length;k++)u[k]=parseInt(x.substr(2*k,2),16);v[n]=u}
"""
_BIND: Final = "for(const n in v)b[n]=G[n]=v[n];\n"
_ERROR: Final = """class BpmnError extends Error{constructor(c,m){super(m===undefined?'':''+m);this.code=''+c}
toString(){return '\\x01'+S([this.code,this.message])}}
h('BpmnError',BpmnError);h('org',{flowable:{engine:{delegate:{BpmnError}}}});
"""
_TASK: Final = """{const e=G.execution,k={};for(const n of K(e))if(n.includes('Variable'))k[n]=e[n];
for(const n in i.k){const N=n[0].toUpperCase()+n.slice(1);k[n]=i.k[n];k['get'+N]=()=>k[n];
k['set'+N]=x=>{k[n]=x===undefined?null:x;c.push(['k','set'+N,k[n]])}}
for(const n of ['addCandidateUser','addCandidateGroup'])k[n]=x=>{c.push(['k',n,x])};
k.getExecution=()=>e;h('task',k);h('taskService',{saveTask(){}})}
"""
# `w` writes and notes how: v where the name lives, l local, t transient; r and d remove. `l` holds the local names.
_EXECUTION: Final = """{const e={},l={},w=o=>(n,x)=>{n=''+n;if(x===undefined)x=null;c.push([o,n,x]);
if(!(n in G)||n in b&&is(G[n],b[n]))G[n]=b[n]=x;v[n]=x;if(o==='l')l[n]=1},
d=o=>n=>{n=''+n;if(o==='d'&&!(n in l)||!(n in v))return;c.push([o,n,null]);
if(n in b&&is(G[n],b[n]))delete G[n];delete b[n];delete v[n];delete l[n]},
all=f=>m=>{for(const n of K(m))f(n,m[n])},s=w('v'),sl=w('l');l.__proto__=null;for(const n of i.l)l[n]=1;
e.setVariable=s;e.getVariable=n=>n in v?v[n]:null;e.hasVariable=n=>n in v;e.getVariableNames=()=>K(v);
e.getVariables=()=>Object.assign({},v);e.setVariables=all(s);e.removeVariable=d('r');
e.setVariableLocal=sl;e.getVariableLocal=n=>n in l?v[n]:null;e.hasVariableLocal=n=>n in l;
e.getVariableNamesLocal=()=>K(l);e.getVariablesLocal=()=>{const f={};for(const n in l)f[n]=v[n];return f};
e.setVariablesLocal=all(sl);e.removeVariableLocal=d('d');e.setTransientVariable=w('t');
for(const n in i.p){e[n]=i.p[n];e['get'+n[0].toUpperCase()+n.slice(1)]=()=>i.p[n]}
h('execution',Object.freeze(e))}
"""
_FINISH: Final = """const T=(k,v)=>({'\\x01':k,v}),
X=r=>{let h='';for(const x of r)h+=(x<16?'0':'')+x.toString(16);return h};
function w(k,v){const r=this[k];switch(typeof r){case 'number':return r<9.2e18&&r>-9.2e18?r:T('f',''+r);
case 'bigint':return T('i',''+r);case 'object':if(r instanceof D)return T('d',r.getTime());
if(r instanceof B)return T('b',X(r))}
return v}
return(r,l)=>{const a=l||{};for(const n of K(G)){const x=G[n];if(x!==undefined&&!(n in b&&is(x,b[n])))a[n]=x}
for(const n in a)if(typeof a[n]==='function')delete a[n];return S({r,a,c},w)}})"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLimits:
    """Named bounds of one script."""

    script_seconds: float = 1.0
    """Time of the processor that a script may use."""
    script_memory_bytes: int = 64 * 1024 * 1024
    """Memory of a script, its variables included."""
    script_source_bytes: int = 256 * 1024
    """Length of a script's text."""


class JavaScript:
    """Runs scripts (`engine.kernel.env.Scripts`). Safe to use from several threads: runs share nothing."""

    __slots__ = ("_limits", "_processes")

    def __init__(self, limits: ScriptLimits | None = None, processes: ScriptProcesses | None = None) -> None:
        self._limits = limits or ScriptLimits()
        self._processes = processes or shared_processes()

    def run(
        self, language: str, source: str, variables: Mapping[str, Value], api: ScriptApi
    ) -> tuple[Value, dict[str, Value]]:
        """Run a script: the value of its last expression, and the variables that it assigned or declared at top level.

        A variable that still holds what was bound to it is not among the assigned, even if its insides were changed.
        Raises ScriptError with the line for a script that fails or exceeds a limit, BpmnError for one thrown.
        """
        if language not in LANGUAGES:
            raise ScriptError(f"expected a script in JavaScript or JUEL, found one in '{language}'")
        if len(source) > self._limits.script_source_bytes:
            raise ScriptError(
                f"expected a script of at most {self._limits.script_source_bytes} bytes (limit: script_source_bytes), "
                f"found {len(source)}"
            )
        prelude, document = _surroundings(source, variables, api)
        kind, text = self._run(
            ScriptRun(
                seconds=self._limits.script_seconds,
                memory_bytes=self._limits.script_memory_bytes,
                prelude=prelude,
                document=document,
                source=source,
                fields=_declared_fields(source),
            )
        )
        if kind == script_worker.FAILED:
            raise self._failure(text)
        if kind == script_worker.NO_TEXT:
            raise ScriptError("expected text as the script's value, found half of a surrogate pair")
        if kind == script_worker.THROWN:
            raise self._thrown(text, api)
        outcome = _decode(text)
        _carry_out(outcome, api)
        return outcome.get("r"), outcome["a"]

    def syntax_error(self, language: str, source: str) -> str:
        """Say why a script cannot be read, with the line; empty if it can, or if it is not ours to read."""
        if language.lower() not in LANGUAGES or len(source) > self._limits.script_source_bytes:
            return ""
        run = ScriptRun(
            seconds=self._limits.script_seconds,
            memory_bytes=self._limits.script_memory_bytes,
            prelude=_READ_ONLY,
            document="",
            # It is read as a whole before its first statement runs, which here is the end of it.
            source=f"throw 0;{source}",
            fields="",
        )
        kind, text = self._run(run)
        return str(self._failure(text)) if kind == script_worker.FAILED and text.startswith("SyntaxError") else ""

    def _run(self, script: ScriptRun) -> tuple[bytes, str]:
        try:
            return self._processes.run(script)
        except ScriptTooLong:
            raise ScriptError(self._too_long()) from None
        except ScriptCrash as crash:
            raise ScriptError(str(crash)) from crash

    def _thrown(self, text: str, api: ScriptApi) -> Exception:
        error, _, outcome = text.partition("\n")
        thrown = _thrown(error.removeprefix(_TAG))
        if thrown is None:
            return self._failure(error)
        _carry_out(_decode(outcome), api)
        return thrown

    def _failure(self, text: str) -> ScriptError:
        message = _STACK.split(text, maxsplit=1)[0].strip()
        if message == "InternalError: interrupted":
            message = self._too_long()
        elif message == "InternalError: out of memory":
            message = f"it needed more than {self._limits.script_memory_bytes} bytes (limit: script_memory_bytes)"
        line = _LINE.search(text, len(message))
        return ScriptError(f"line {line[1]}: {message}" if line else message)

    def _too_long(self) -> str:
        return f"it ran longer than {self._limits.script_seconds} s (limit: script_seconds)"


def _surroundings(source: str, variables: Mapping[str, Value], api: ScriptApi) -> tuple[str, str]:
    """The prelude that binds the variables, and them as JSON (dates as text, bytes as hexadecimals)."""
    values: dict[str, Any] = {}
    dates: list[str] = []
    binaries: list[str] = []
    for name, value in variables.items():
        if isinstance(value, date):
            dates.append(name)
        elif isinstance(value, bytes):
            binaries.append(name)
            value = value.hex()
        if name != "__proto__":
            values[name] = value
    document: dict[str, Any] = {"v": values}
    prelude = [_BEGIN]
    if dates:
        document["d"] = dates
        prelude.append(_DATES)
    if binaries:
        document["b"] = binaries
        prelude.append(_BINARIES)
    prelude.append(_BIND)
    if "BpmnError" in source:
        prelude.append(_ERROR)
    prelude.append(java_names(source))
    task = api.task() if "task" in source else None
    # After the variables: one that is called `execution` does not hide the execution.
    if "execution" in source or task is not None:
        document["p"] = {name: api.property(name) for name in PROPERTIES}
        document["l"] = [name for name in api.local_names() if name != "__proto__"]
        prelude.append(_EXECUTION)
    if task is not None:
        document["k"] = task
        prelude.append(_TASK)
    prelude.append(_FINISH)
    return "".join(prelude), msgspec.json.encode(document).decode()


def _declared_fields(source: str) -> str:
    """An object of what `let`, `const` and `class` declare at top level: it does not become the global object's."""
    names = dict.fromkeys(_DECLARED.findall(source))
    fields = ",".join(f"{name}:typeof {name}==='undefined'?undefined:{name}" for name in names)
    return f"({{{fields}}})" if fields else ""


def _thrown(text: str) -> BpmnError | None:
    try:
        code, message = msgspec.json.decode(text, type=tuple[str, str])
    except msgspec.DecodeError:
        return None
    return BpmnError(code, message)


def _carry_out(outcome: dict[str, Any], api: ScriptApi) -> None:
    for how, name, value in outcome["c"]:
        if how in _REMOVES:
            _REMOVES[how](api, name)
        else:
            _SETS[how](api, name, value)


_SETS: Final[Mapping[str, Callable[[ScriptApi, str, Value], None]]] = MappingProxyType(
    {
        "v": lambda api, name, value: api.set_variable(name, value),
        "l": lambda api, name, value: api.set_local(name, value),
        "t": lambda api, name, value: api.set_transient(name, value),
        "k": lambda api, name, value: api.call_task(name, value),
    }
)
_REMOVES: Final[Mapping[str, Callable[[ScriptApi, str], None]]] = MappingProxyType(
    {"r": lambda api, name: api.remove_variable(name), "d": lambda api, name: api.remove_local(name)}
)


def _decode(text: Any) -> dict[str, Any]:
    try:
        outcome = msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError) as error:
        raise ScriptError("expected values as a result, found what is not JSON") from error
    return _plain(outcome) if "\\u0001" in text else outcome  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """Read the tagged values: dates, bytes, and numbers that JSON cannot write."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_TAG)
    if kind is None:
        return {name: _plain(item) for name, item in value.items()}
    return _untagged(kind, value.get("v"))


def _untagged(kind: Any, content: Any) -> Value:
    if kind == "d" and isinstance(content, int | float):
        return _moment(content)
    if kind == "b" and isinstance(content, str):
        return bytes.fromhex(content)
    if kind == "f":
        return float(content.lower().replace("infinity", "inf"))
    if kind == "i":
        number = int(content)
        if not -(2**_LONG_BITS) <= number < 2**_LONG_BITS:
            raise ScriptError(f"expected an integer of 64 bits, found {content[:_SOURCE_NAME_LENGTH]}")
        return number
    return None


def _moment(milliseconds: float) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise ScriptError(f"expected a date of the years 1 to 9999, found {milliseconds} ms since 1970") from error
