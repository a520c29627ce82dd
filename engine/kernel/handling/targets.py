"""Finding what a command names in the tree, and refusing what is not there or not in the right state."""

from engine.kernel import lifecycle
from engine.kernel.errors import failed, not_found
from engine.kernel.state import SUSPENDED, Execution, Instance, Job, Task
from engine.kernel.turn import Turn


def instance_of(turn: Turn, instance_id: str) -> Instance:
    instance = turn.tree.instances.get(instance_id)
    if instance is None or instance.is_ended:
        raise not_found(
            "process-instance-not-found",
            f"expected a running process instance, found none with id '{instance_id}'",
            process_instance_id=instance_id,
        )
    return instance


def require_active(instance: Instance) -> Instance:
    if instance.state == SUSPENDED:
        raise failed(
            "process-instance-suspended",
            f"expected process instance {instance.id} to be active, found it suspended",
            process_instance_id=instance.id,
        )
    return instance


def task_of(turn: Turn, task_id: str) -> Task:
    task = turn.tree.tasks.get(task_id)
    if task is None:
        raise not_found("task-not-found", f"expected an open task, found none with id '{task_id}'", task_id=task_id)
    return task


def job_of(turn: Turn, job_id: str) -> Job:
    job = turn.tree.jobs.get(job_id)
    if job is None:
        raise not_found("job-not-found", f"expected a job, found none with id '{job_id}'", job_id=job_id)
    return job


def execution_of(turn: Turn, execution_id: str) -> tuple[Instance, Execution]:
    """An execution by id, or the instance's own scope by the instance's id."""
    found = turn.tree.find(execution_id)
    if found is not None:
        return found
    instance = turn.tree.instances.get(execution_id)
    if instance is None or instance.is_ended:
        raise not_found(
            "execution-not-found",
            f"expected an execution, found none with id '{execution_id}'",
            execution_id=execution_id,
        )
    return instance, lifecycle.root_execution(instance, turn.definition_of(instance).process)
