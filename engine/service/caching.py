"""What of the engine is cached, and how fresh it has to be."""

from collections.abc import Callable

from engine.app.open_tasks import OpenTasks, TaskLists, TaskPage
from engine.app.sharing import SharedDefinitions
from engine.kernel.rights import Rights
from engine.settings import TaskSettings
from mesh.cache.two_level import Caches


def shared_definitions(caches: Caches, seconds: float, on_changed: Callable[[], None]) -> SharedDefinitions:
    """What replicas share of the repository; `on_changed` is called when one of them has changed it."""
    return SharedDefinitions(
        caches.open("repository", str, seconds=1.0, entries=1, on_forgotten=lambda _: on_changed()),
        # The compiled definition is what memory keeps; of the file, Redis.
        caches.open("definition-files", bytes, seconds=seconds, entries=1),
    )


def cached_lists(
    settings: TaskSettings,
    caches: Caches,
    lists: TaskLists,
    rights: Callable[[], Rights | None],
    new_id: Callable[[], str],
) -> OpenTasks | None:
    """The cached lists of open tasks; None where the settings want none."""
    if not settings.cached_seconds:
        return None
    seconds, entries = settings.cached_seconds, settings.cached_pages
    # Where another process's changes cannot be heard of, an inbox is read from the database each time.
    tokens = caches.open("open-task-tokens", str, seconds=seconds, entries=entries, detached_seconds=0.0)
    pages = caches.open("open-tasks", TaskPage, seconds=seconds, entries=entries, detached_seconds=0.0)
    return OpenTasks(lists, tokens, pages, rights=rights, new_id=new_id)
