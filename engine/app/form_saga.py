"""The saga `form-submission`: what its data holds, who does its steps, and the engine's command in its midst.

The data is JSON and holds all that a resumed saga needs: the submission for `prepare`, the command for `submit` without
the values of the form, which `prepare` answers, and what binds whoever asked.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from engine.app.forms import FieldState, Forms, Step, Submission
from engine.app.sagas.declarations import CONFIRM, FORM_SUBMISSION, PREPARE, SUBMIT, BuildCommand
from engine.app.sagas.ports import StepAnswer, StepCall, StepRefused
from engine.app.sagas.state import COMPENSATE, Saga
from engine.kernel import commands as cmd
from engine.kernel.rights import Rights
from engine.kernel.values import BINARY, DATE, DOUBLE, Value, Variable
from mesh.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted

FormCommand: TypeAlias = cmd.CompleteTask | cmd.StartProcess
Data = dict[str, Any]

NAME: Final = FORM_SUBMISSION.name
_FINAL: Final = (InvalidArgument, FailedPrecondition, NotFound, ResourceExhausted)
"""What forms refuses for good; all else may heal."""
_VARIABLES: Final = ("variables", "local_variables", "transient_variables")


def data_of(submission: Submission, command: FormCommand) -> Data:
    """Return the data of a saga that begins."""
    return {
        "submission": {**_fields(submission), "states": [_fields(state) for state in submission.states]},
        "command": _written(command),
    }


def build_command(data: Mapping[str, Any]) -> FormCommand:
    """Return the command of `submit`: the one that was asked for, with what the form gave."""
    command = _read(data["command"])
    given = read_variables(data["results"][PREPARE]["variables"])
    return msgspec.structs.replace(command, variables={**command.variables, **given})


BUILDERS: Final[Mapping[tuple[str, str], BuildCommand]] = {(NAME, SUBMIT): build_command}


def instance_of(saga: Saga) -> str:
    """The instance that a saga starts; empty if it completes a task."""
    return str(saga.data["command"]["fields"].get("instance_id", ""))


def definition_of(saga: Saga) -> str:
    """The definition of which a saga starts an instance."""
    return str(saga.data["command"]["fields"].get("definition_id", ""))


def submission_step(saga: Saga) -> Step:
    """Under what forms keeps the submission."""
    return Step(saga.id, PREPARE if saga.round == 1 else f"{PREPARE}~{saga.round}")


class FormsPerformer:
    """Does the steps of the service `forms`."""

    def __init__(self, forms: Forms) -> None:
        self._forms = forms

    async def perform(self, call: StepCall) -> StepAnswer:
        """Prepare, confirm or discard. Raises StepRefused for what forms refuses for good."""
        # A step that is done anew has another id; the submission is that of the prepare in the same round.
        name, _, again = call.step_id.partition("~")
        step = Step(call.saga_id, f"{PREPARE}~{again}" if again else PREPARE)
        if call.action == COMPENSATE:
            await self._forms.discard(step)
            return StepAnswer()
        if name == CONFIRM:
            await self._forms.confirm(step, str(call.data["command"]["fields"].get("instance_id", "")))
            return StepAnswer()
        try:
            variables = await self._forms.prepare(step, _submission(call.data["submission"]))
        except _FINAL as refused:
            raise StepRefused(refused.message, refused) from refused
        return StepAnswer(result={"variables": write_variables(variables)})


# --- values as JSON, both ways ----------------------------------------------------------------------------------------


def write_variables(variables: Mapping[str, Variable]) -> Data:
    """Return typed values as JSON: `{"days": {"type": "integer", "value": 5}}`."""
    return {name: {"type": each.type, "value": _json(each.value)} for name, each in variables.items()}


def read_variables(found: Mapping[str, Any]) -> dict[str, Variable]:
    """Return what `write_variables` wrote."""
    return {name: Variable(each["type"], _value(each["type"], each["value"])) for name, each in found.items()}


def _json(value: Value) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _value(kind: str, value: Any) -> Value:
    if value is None:
        return None
    if kind == DATE:
        return datetime.fromisoformat(value)
    if kind == BINARY:
        return base64.b64decode(value)
    # JSON does not tell 1.0 from 1.
    return float(value) if kind == DOUBLE else value


def _fields(value: Any) -> Data:
    return {name: getattr(value, name) for name in value.__slots__}


def _submission(found: Mapping[str, Any]) -> Submission:
    states = [FieldState(**{**each, "options": tuple(each["options"])}) for each in found["states"]]
    return Submission(**{**found, "states": states})


def _written(command: FormCommand) -> Data:
    fields: Data = {}
    for name in command.__struct_fields__:
        value = getattr(command, name)
        if name in _VARIABLES:
            fields[name] = write_variables(value)
        elif name == "rights":
            fields[name] = None if value is None else msgspec.to_builtins(value)
        else:
            fields[name] = value
    return {"kind": type(command).__name__, "fields": fields}


def _read(found: Mapping[str, Any]) -> FormCommand:
    fields = dict(found["fields"])
    for name in _VARIABLES:
        if name in fields:
            fields[name] = read_variables(fields[name])
    if fields["rights"] is not None:
        fields["rights"] = msgspec.convert(fields["rights"], Rights)
    kind = cmd.StartProcess if found["kind"] == cmd.StartProcess.__name__ else cmd.CompleteTask
    return kind(**fields)
