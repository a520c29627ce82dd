"""What a crash makes the bus deliver again, together with what history has not seen yet."""

from __future__ import annotations

from datetime import UTC, datetime

from history.app.batches import Loaded, wanted
from history.app.projecting import Projection
from history.model.happenings import InstanceEnded, InstanceStarted, Told

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
STARTED = InstanceStarted(
    instance_id="root",
    at=AT,
    definition_id="one:1:x",
    definition_key="one",
    definition_version=1,
    definition_name="",
    definition_category="",
    deployment_id="",
    tenant_id="",
    name="",
    business_key="",
    business_status="",
    start_user_id="",
    start_activity_id="start",
    super_instance_id="",
    super_execution_id="",
    callback_id="",
    callback_type="",
    reference_id="",
    reference_type="",
)
START = Told(root_id="root", sequence=1, user_id="", tenant_id="", happenings=(STARTED,))
END = Told(
    root_id="root",
    sequence=2,
    user_id="",
    tenant_id="",
    happenings=(InstanceEnded(instance_id="root", at=AT, state="completed", end_activity_id="end", delete_reason=""),),
)


def test_an_end_is_recorded_when_it_comes_in_one_batch_with_a_start_that_was_recorded_before() -> None:
    first = Projection(Loaded())
    first.apply(START)
    (record,) = first.changes().instances

    wants = wanted([START, END])
    second = Projection(
        Loaded(applied={"root": 1}, instances={key: record for key in wants.instances if key == record.id})
    )
    assert [second.apply(command) for command in (START, END)] == [False, True]

    assert [instance.state for instance in second.changes().instances] == ["completed"]
