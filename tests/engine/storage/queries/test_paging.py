"""Paging: sizes, sorts, totals and tokens."""

import base64
from datetime import timedelta

import pytest

from engine.app.queries import (
    MAX_PAGE_SIZE,
    Page,
    ProcessInstanceFilter,
    TaskFilter,
    VariableInstanceFilter,
)
from engine.kernel import commands as cmd
from engine.storage import tables
from mesh.errors import InvalidArgument
from tests.engine.storage.queries.world import ReadWorld
from tests.engine.storage.support import ONE_TASK


async def _five_tasks(world: ReadWorld) -> list[str]:
    definition = world.bench.define(ONE_TASK)
    found = []
    for number in range(5):
        task_id = world.bench.task_of(await world.bench.start(definition))
        due = world.bench.clock.now() + timedelta(days=number // 2) if number else None
        await world.bench.group.submit(cmd.UpdateTask(task_id=task_id, changes={"due_at": due, "priority": number % 2}))
        found.append(task_id)
    return found


async def _all_pages(world: ReadWorld, wanted: TaskFilter, size: int, sort: str, order: str) -> list[str]:
    found: list[str] = []
    token = ""
    for _ in range(10):
        page = await world.queries.list_tasks(wanted, Page(size=size, sort=sort, order=order, page_token=token))
        found.extend(task.id for task in page.rows)
        token = page.next_page_token
        if not token:
            break
    return found


async def test_first_page_that_is_not_full_gives_its_total_without_counting(world: ReadWorld) -> None:
    await _five_tasks(world)
    world.statements.clear()

    page = await world.queries.list_tasks(TaskFilter(), Page(size=10))

    assert (page.total, page.size, page.start, page.sort, page.order) == (5, 5, 0, "id", "asc")
    assert page.next_page_token == ""
    assert len(world.statements) == 1


async def test_full_page_counts_once_however_many_rows_there_are(world: ReadWorld) -> None:
    await _five_tasks(world)
    world.statements.clear()

    page = await world.queries.list_tasks(TaskFilter(), Page(size=2, start=1))

    assert (page.total, page.size, page.start) == (5, 2, 1)
    assert len(world.statements) == 2


async def test_page_behind_the_end_still_knows_the_total(world: ReadWorld) -> None:
    await _five_tasks(world)

    page = await world.queries.list_tasks(TaskFilter(), Page(start=7))

    assert (page.total, page.size, page.next_page_token) == (5, 0, "")


async def test_page_of_size_zero_only_counts(world: ReadWorld) -> None:
    await _five_tasks(world)

    page = await world.queries.list_tasks(TaskFilter(), Page(size=0))

    assert (page.total, page.size) == (5, 0)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    "sort", ["id", "name", "description", "priority", "createTime", "dueDate", "processInstanceId"]
)
@pytest.mark.parametrize("size", [1, 2])
async def test_page_tokens_walk_the_same_list_that_one_page_shows(
    world: ReadWorld, sort: str, order: str, size: int
) -> None:
    await _five_tasks(world)
    whole = await world.queries.list_tasks(TaskFilter(), Page(sort=sort, order=order))

    walked = await _all_pages(world, TaskFilter(), size, sort, order)

    assert walked == [task.id for task in whole.rows]
    assert len(set(walked)) == 5


async def test_missing_due_dates_come_first_and_come_last_backwards(world: ReadWorld) -> None:
    tasks = await _five_tasks(world)

    upwards = await world.queries.list_tasks(TaskFilter(), Page(sort="dueDate"))
    downwards = await world.queries.list_tasks(TaskFilter(), Page(sort="dueDate", order="desc"))

    assert upwards.rows[0].id == tasks[0]
    assert [task.id for task in downwards.rows] == [task.id for task in reversed(upwards.rows)]


async def test_token_page_has_no_total_and_does_not_count(world: ReadWorld) -> None:
    await _five_tasks(world)
    first = await world.queries.list_tasks(TaskFilter(), Page(size=2))
    world.statements.clear()

    second = await world.queries.list_tasks(TaskFilter(), Page(size=2, page_token=first.next_page_token))

    assert second.total is None
    assert len(world.statements) == 1


async def test_token_with_other_filters_sort_or_order_is_refused(world: ReadWorld) -> None:
    await _five_tasks(world)
    token = (await world.queries.list_tasks(TaskFilter(), Page(size=2))).next_page_token

    for wanted, page in (
        (TaskFilter(name="Approve"), Page(page_token=token)),
        (TaskFilter(), Page(page_token=token, sort="name")),
        (TaskFilter(), Page(page_token=token, order="desc")),
    ):
        with pytest.raises(InvalidArgument, match="page token of a list with the same filters"):
            await world.queries.list_tasks(wanted, page)
    with pytest.raises(InvalidArgument, match="page token of a list with the same filters"):
        await world.queries.list_process_instances(ProcessInstanceFilter(), Page(page_token=token))


async def test_broken_tokens_are_refused(world: ReadWorld) -> None:
    await _five_tasks(world)
    token = (await world.queries.list_tasks(TaskFilter(), Page(size=2))).next_page_token
    mark = base64.urlsafe_b64decode(token + "==").split(b'"')[1].decode()
    wrong_value = base64.urlsafe_b64encode(f'["{mark}",[5]]'.encode()).decode()
    too_many = base64.urlsafe_b64encode(f'["{mark}",["a","b"]]'.encode()).decode()

    for broken in ("?", "abc", "e30", wrong_value, too_many, token[:-3]):
        with pytest.raises(InvalidArgument):
            await world.queries.list_tasks(TaskFilter(), Page(page_token=broken))


@pytest.mark.parametrize(
    ("page", "field", "said"),
    [
        (Page(sort="age"), "sort", "createTime"),
        (Page(order="up"), "order", "asc, desc"),
        (Page(size=-1), "size", "MAX_PAGE_SIZE"),
        (Page(size=MAX_PAGE_SIZE + 1), "size", "MAX_PAGE_SIZE"),
        (Page(start=-1), "start", "0 to"),
        (Page(start=1, page_token="x"), "page_token", "either a page token or a start"),
    ],
)
async def test_wrong_paging_is_refused_with_what_is_allowed(
    world: ReadWorld, page: Page, field: str, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said) as refused:
        await world.queries.list_tasks(TaskFilter(), page)

    assert [violation.field for violation in refused.value.violations] == [field]


async def test_equal_names_are_told_apart_by_their_scope_when_paging_variables(world: ReadWorld) -> None:
    definition = world.bench.define(ONE_TASK)
    for _ in range(3):
        await world.bench.start(definition, a=1, b=2)

    found: list[tuple[str, str]] = []
    token = ""
    for _ in range(10):
        page = await world.queries.list_variable_instances(VariableInstanceFilter(), Page(size=2, page_token=token))
        found.extend((row.name, row.process_instance_id) for row in page.rows)
        token = page.next_page_token
        if not token:
            break

    assert len(found) == len(set(found)) == 6
    assert found == sorted(found)
    assert len(world.bench.rows(tables.variable)) == 6
