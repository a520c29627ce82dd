# ruff: noqa: N802, ARG002 - gRPC gives the methods their names and every one of them a context
"""TaskService: work for people. Translates; what happens is decided by the kernel or on a standalone task's row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from flowloom.engine.v1 import identity_link_pb2, task_pb2, task_service_pb2_grpc, variable_pb2
from flowloom.engine.v1 import task_service_pb2 as pb
from google.api import httpbody_pb2
from google.rpc import status_pb2

from engine.app.asking import NoGroups, UserGroups
from engine.app.form_data import no_forms_service
from engine.app.form_submissions import FormSubmissions
from engine.app.open_tasks import TaskLists
from engine.app.queries import TaskFilter, TaskQueries
from engine.app.standalone import TaskCommands
from engine.app.task_remarks import TaskRemarks
from engine.app.variable_changes import TaskVariables
from engine.rpc import mapping_lists as lists
from engine.rpc import mapping_remarks as remarks
from engine.rpc import mapping_tasks as mapping
from engine.rpc import mapping_variables as variables
from engine.rpc.batch_stream import BatchStream, StreamTerms
from engine.rpc.candidates import with_groups
from engine.rpc.context import TASK_MANAGE, caller_of, named_user
from engine.rpc.errors import answers_refusals, check_request_id
from engine.rpc.variables import read_scope

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


@answers_refusals
class TaskService(task_service_pb2_grpc.TaskServiceServicer):
    """Serves `flowloom.engine.v1.TaskService`."""

    def __init__(
        self,
        commands: TaskCommands,
        variables: TaskVariables,
        remarks: TaskRemarks,
        queries: TaskQueries,
        terms: StreamTerms | None = None,
        groups: UserGroups | None = None,
        submissions: FormSubmissions | None = None,
        task_lists: TaskLists | None = None,
    ) -> None:
        """`groups` tells the groups of users that lists ask for; `task_lists` answers lists, by default `queries`.

        Without `submissions` no task can be completed with a form.
        """
        self._lists = task_lists or queries
        self._groups = groups or NoGroups()
        self._submissions = submissions
        self._commands = commands
        self._variables = variables
        self._remarks = remarks
        self._queries = queries
        self._terms = terms or StreamTerms()

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def GetTask(self, request: pb.GetTaskRequest, context: RpcContext) -> task_pb2.Task:
        return lists.task(await self._queries.get_task(request.task_id))

    async def ListTasks(self, request: pb.ListTasksRequest, context: RpcContext) -> pb.ListTasksResponse:
        wanted = await with_groups(lists.filter_of(TaskFilter, request), self._groups)
        found = await self._lists.list_tasks(wanted, lists.page_of(request))
        return lists.listed(pb.ListTasksResponse, found, lists.task)

    async def ListSubtasks(self, request: pb.ListSubtasksRequest, context: RpcContext) -> AsyncIterator[task_pb2.Task]:
        for found in await self._queries.list_subtasks(request.task_id):
            yield lists.task(found)

    async def CreateTask(self, request: pb.CreateTaskRequest, context: RpcContext) -> task_pb2.Task:
        if request.parent_task_id:
            await self._queries.get_task(request.parent_task_id)
        task_id = await self._commands.create(mapping.new_task(request), request_id=request.request_id)
        return lists.task(await self._queries.get_task(task_id))

    async def UpdateTask(self, request: pb.UpdateTaskRequest, context: RpcContext) -> task_pb2.Task:
        if request.parent_task_id:
            await self._queries.get_task(request.parent_task_id)
        command = mapping.update(request, caller_of(context))
        await self._commands.submit(command, request_id=request.request_id)
        return lists.task(await self._queries.get_task(request.task_id))

    async def BulkUpdateTasks(
        self, request: pb.BulkUpdateTasksRequest, context: RpcContext
    ) -> pb.BulkUpdateTasksResponse:
        commands = mapping.updates(request, caller_of(context))
        before = await self._queries.get_tasks(request.task_ids)
        standalone = {task.id for task in before if not task.process_instance_id}
        await self._commands.submit_all(commands, standalone=standalone, request_id=request.request_id)
        return mapping.bulk_updated(await self._queries.get_tasks(request.task_ids))

    async def DeleteTask(self, request: pb.DeleteTaskRequest, context: RpcContext) -> pb.DeleteTaskResponse:
        await self._commands.delete(mapping.deletion(request), request_id=request.request_id)
        return pb.DeleteTaskResponse()

    # --- actions ------------------------------------------------------------------------------------------------------

    async def ExecuteTaskAction(
        self, request: pb.ExecuteTaskActionRequest, context: RpcContext
    ) -> pb.ExecuteTaskActionResponse:
        command = mapping.action(request, caller_of(context))
        if request.form_definition_id and request.action == mapping.COMPLETE:
            await self._complete(request, command.user_id)
        else:
            await self._commands.submit(command, request_id=request.request_id)
        return pb.ExecuteTaskActionResponse()

    async def CompleteTask(self, request: pb.CompleteTaskRequest, context: RpcContext) -> pb.CompleteTaskResponse:
        await self._complete(request, named_user(request.user_id, TASK_MANAGE))
        return pb.CompleteTaskResponse()

    async def _complete(self, request: pb.CompleteTaskRequest | pb.ExecuteTaskActionRequest, user_id: str) -> None:
        submission = mapping.submission(request, user_id)
        if submission is None:
            await self._commands.submit(mapping.complete(request, user_id), request_id=request.request_id)
        elif self._submissions is None:
            raise no_forms_service()
        else:
            await self._submissions.complete(submission)

    async def CompleteTasks(
        self, requests: AsyncIterator[pb.CompleteTasksRequest], context: RpcContext
    ) -> AsyncIterator[pb.CompleteTasksResponse]:
        async def carry_out(command: pb.CompleteCommand) -> pb.CompleteResult:
            asked = command.complete
            check_request_id(asked)
            await self._complete(asked, named_user(asked.user_id, TASK_MANAGE))
            return pb.CompleteResult(correlation=command.correlation)

        def refuse(command: pb.CompleteCommand, status: status_pb2.Status) -> pb.CompleteResult:
            return pb.CompleteResult(correlation=command.correlation, error=status)

        stream = BatchStream(carry_out, refuse, self._terms)
        async with aclosing(stream.answers(message.commands async for message in requests)) as answers:
            async for results in answers:
                yield pb.CompleteTasksResponse(results=results)

    async def ClaimTask(self, request: pb.ClaimTaskRequest, context: RpcContext) -> pb.ClaimTaskResponse:
        command = mapping.claim(request, caller_of(context))
        await self._commands.submit(command, request_id=request.request_id)
        return pb.ClaimTaskResponse()

    async def UnclaimTask(self, request: pb.UnclaimTaskRequest, context: RpcContext) -> pb.UnclaimTaskResponse:
        command = mapping.unclaim(request, caller_of(context))
        await self._commands.submit(command, request_id=request.request_id)
        return pb.UnclaimTaskResponse()

    async def DelegateTask(self, request: pb.DelegateTaskRequest, context: RpcContext) -> pb.DelegateTaskResponse:
        command = mapping.delegate(request, caller_of(context))
        await self._commands.submit(command, request_id=request.request_id)
        return pb.DelegateTaskResponse()

    async def ResolveTask(self, request: pb.ResolveTaskRequest, context: RpcContext) -> pb.ResolveTaskResponse:
        command = mapping.resolve(request, caller_of(context))
        await self._commands.submit(command, request_id=request.request_id)
        return pb.ResolveTaskResponse()

    async def AssignTask(self, request: pb.AssignTaskRequest, context: RpcContext) -> pb.AssignTaskResponse:
        command = mapping.assign(request, caller_of(context))
        await self._commands.submit(command, request_id=request.request_id)
        return pb.AssignTaskResponse()

    # --- variables ----------------------------------------------------------------------------------------------------

    async def ListTaskVariables(
        self, request: pb.ListTaskVariablesRequest, context: RpcContext
    ) -> AsyncIterator[variable_pb2.Variable]:
        found = await self._queries.list_task_variables(request.task_id, read_scope(request.scope))
        for variable in lists.variables(found, f"{lists.TASKS}/{request.task_id}"):
            yield variable

    async def CreateTaskVariables(
        self, request: pb.CreateTaskVariablesRequest, context: RpcContext
    ) -> AsyncIterator[variable_pb2.Variable]:
        change = variables.created(request.variables, caller_of(context), request.request_id)
        await self._variables.set(request.task_id, change)
        for variable in variables.answer(change, f"{lists.TASKS}/{request.task_id}"):
            yield variable

    async def DeleteTaskVariables(
        self, request: pb.DeleteTaskVariablesRequest, context: RpcContext
    ) -> pb.DeleteTaskVariablesResponse:
        removal = variables.all_removed(caller_of(context), request.request_id)
        await self._variables.remove(request.task_id, removal)
        return pb.DeleteTaskVariablesResponse()

    async def GetTaskVariable(self, request: pb.GetTaskVariableRequest, context: RpcContext) -> variable_pb2.Variable:
        scope = read_scope(request.scope)
        found = await self._queries.get_task_variable(request.task_id, request.variable_name, scope)
        return lists.named_variable(found, f"{lists.TASKS}/{request.task_id}")

    async def UpdateTaskVariable(
        self, request: pb.UpdateTaskVariableRequest, context: RpcContext
    ) -> variable_pb2.Variable:
        change = variables.updated(request.variable_name, request.variable, caller_of(context), request.request_id)
        await self._variables.set(request.task_id, change)
        return variables.answer(change, f"{lists.TASKS}/{request.task_id}")[0]

    async def DeleteTaskVariable(
        self, request: pb.DeleteTaskVariableRequest, context: RpcContext
    ) -> pb.DeleteTaskVariableResponse:
        removal = variables.removed(request.variable_name, request.scope, caller_of(context), request.request_id)
        await self._variables.remove(request.task_id, removal)
        return pb.DeleteTaskVariableResponse()

    async def GetTaskVariableData(
        self, request: pb.GetTaskVariableDataRequest, context: RpcContext
    ) -> httpbody_pb2.HttpBody:
        scope = read_scope(request.scope)
        found = await self._queries.get_task_variable(request.task_id, request.variable_name, scope)
        return variables.data(found.name, found.variable)

    async def UploadTaskVariable(
        self, request: pb.UploadTaskVariableRequest, context: RpcContext
    ) -> variable_pb2.Variable:
        change = await asyncio.to_thread(variables.uploaded, request, caller_of(context))
        await self._variables.set(request.task_id, change)
        await variables.say_changed(request, context)
        return variables.answer(change, f"{lists.TASKS}/{request.task_id}")[0]

    # --- identity links -----------------------------------------------------------------------------------------------

    async def ListTaskIdentityLinks(
        self, request: pb.ListTaskIdentityLinksRequest, context: RpcContext
    ) -> AsyncIterator[identity_link_pb2.IdentityLink]:
        for found in await self._queries.list_task_identity_links(request.task_id, request.family):
            yield lists.identity_link(found)

    async def CreateTaskIdentityLink(
        self, request: pb.CreateTaskIdentityLinkRequest, context: RpcContext
    ) -> identity_link_pb2.IdentityLink:
        command = mapping.add_link(request, caller_of(context))
        await self._commands.submit(command, request_id=request.request_id)
        return identity_link_pb2.IdentityLink(user=request.user or None, group=request.group or None, type=request.type)

    async def GetTaskIdentityLink(
        self, request: pb.GetTaskIdentityLinkRequest, context: RpcContext
    ) -> identity_link_pb2.IdentityLink:
        return lists.identity_link(
            await self._queries.get_task_identity_link(
                request.task_id, request.family, request.identity_id, request.type
            )
        )

    async def DeleteTaskIdentityLink(
        self, request: pb.DeleteTaskIdentityLinkRequest, context: RpcContext
    ) -> pb.DeleteTaskIdentityLinkResponse:
        command = mapping.remove_link(request, caller_of(context))
        await self._commands.submit(command, request_id=request.request_id)
        return pb.DeleteTaskIdentityLinkResponse()

    # --- remarks ------------------------------------------------------------------------------------------------------

    async def ListTaskComments(
        self, request: pb.ListTaskCommentsRequest, context: RpcContext
    ) -> AsyncIterator[task_pb2.Comment]:
        for found in await self._remarks.comments(request.task_id):
            yield remarks.comment(found)

    async def CreateTaskComment(self, request: pb.CreateTaskCommentRequest, context: RpcContext) -> task_pb2.Comment:
        wanted = remarks.new_comment(request, caller_of(context))
        return remarks.comment(
            await self._remarks.add(wanted, of_instance=request.save_process_instance_id, request_id=request.request_id)
        )

    async def GetTaskComment(self, request: pb.GetTaskCommentRequest, context: RpcContext) -> task_pb2.Comment:
        return remarks.comment(await self._remarks.comment(request.task_id, request.comment_id))

    async def DeleteTaskComment(
        self, request: pb.DeleteTaskCommentRequest, context: RpcContext
    ) -> pb.DeleteTaskCommentResponse:
        await self._remarks.remove(request.task_id, request.comment_id, request_id=request.request_id)
        return pb.DeleteTaskCommentResponse()

    async def ListTaskEvents(
        self, request: pb.ListTaskEventsRequest, context: RpcContext
    ) -> AsyncIterator[task_pb2.TaskEvent]:
        for found in await self._remarks.events(request.task_id):
            yield remarks.event(found)

    async def GetTaskEvent(self, request: pb.GetTaskEventRequest, context: RpcContext) -> task_pb2.TaskEvent:
        return remarks.event(await self._remarks.event(request.task_id, request.event_id))
