# ruff: noqa: N802, ARG002 - gRPC gives the methods their names and every one of them a context
"""RuntimeService: running instances, their executions, variables, messages and signals. Translates only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from flowloom.engine.v1 import (
    execution_pb2,
    identity_link_pb2,
    process_instance_pb2,
    runtime_service_pb2_grpc,
    variable_pb2,
)
from flowloom.engine.v1 import runtime_service_pb2 as pb
from google.api import httpbody_pb2
from google.protobuf import struct_pb2
from google.rpc import status_pb2

from engine.app.correlation import Correlation
from engine.app.form_submissions import FormSubmissions, plainly
from engine.app.instance_changes import InstanceChanges
from engine.app.queries import (
    ActivityInstanceFilter,
    EventSubscriptionFilter,
    ExecutionFilter,
    ProcessInstanceFilter,
    RuntimeQueries,
    VariableInstanceFilter,
)
from engine.app.signalling import Signalling
from engine.app.starting import Starting
from engine.app.variable_changes import ExecutionVariables
from engine.kernel import commands as cmd
from engine.rpc import mapping_instances as mapping
from engine.rpc import mapping_lists as lists
from engine.rpc import mapping_starts as starts
from engine.rpc import mapping_variables as variables
from engine.rpc.batch_stream import BatchStream, StreamTerms
from engine.rpc.context import caller_of
from engine.rpc.errors import answers_refusals, check_request_id
from engine.rpc.variables import read_scope

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


@answers_refusals
class RuntimeService(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Serves `flowloom.engine.v1.RuntimeService`."""

    def __init__(
        self,
        starting: Starting,
        changes: InstanceChanges,
        variables: ExecutionVariables,
        signalling: Signalling,
        correlation: Correlation,
        queries: RuntimeQueries,
        terms: StreamTerms | None = None,
        submissions: FormSubmissions | None = None,
    ) -> None:
        """Without `submissions` what is written into start forms are variables."""
        self._submissions = submissions
        self._starting = starting
        self._changes = changes
        self._variables = variables
        self._signalling = signalling
        self._correlation = correlation
        self._queries = queries
        self._terms = terms or StreamTerms()

    # --- process instances --------------------------------------------------------------------------------------------

    async def StartProcessInstance(
        self, request: pb.StartProcessInstanceRequest, context: RpcContext
    ) -> process_instance_pb2.ProcessInstance:
        return await self._start(request, caller_of(context))

    async def StartProcessInstances(
        self, requests: AsyncIterator[pb.StartProcessInstancesRequest], context: RpcContext
    ) -> AsyncIterator[pb.StartProcessInstancesResponse]:
        caller = caller_of(context)

        async def carry_out(command: pb.StartCommand) -> pb.StartResult:
            check_request_id(command.start)
            started = await self._start(command.start, caller)
            return pb.StartResult(correlation=command.correlation, process_instance=started)

        def refuse(command: pb.StartCommand, status: status_pb2.Status) -> pb.StartResult:
            return pb.StartResult(correlation=command.correlation, error=status)

        stream = BatchStream(carry_out, refuse, self._terms)
        async with aclosing(stream.answers(message.commands async for message in requests)) as answers:
            async for results in answers:
                yield pb.StartProcessInstancesResponse(results=results)

    async def _start(
        self, request: pb.StartProcessInstanceRequest, caller: str
    ) -> process_instance_pb2.ProcessInstance:
        ask = starts.start(request, caller)
        submission = starts.start_submission(request, ask)
        if submission is None:
            return starts.started(await self._starting.start(ask))
        if self._submissions is None:
            return starts.started(await self._starting.start(plainly(submission)))
        return starts.started(await self._submissions.start(submission))

    async def GetProcessInstance(
        self, request: pb.GetProcessInstanceRequest, context: RpcContext
    ) -> process_instance_pb2.ProcessInstance:
        return lists.process_instance(
            await self._queries.get_process_instance(
                request.process_instance_id, include_process_variables=request.include_process_variables
            )
        )

    async def ListProcessInstances(
        self, request: pb.ListProcessInstancesRequest, context: RpcContext
    ) -> pb.ListProcessInstancesResponse:
        wanted = lists.filter_of(ProcessInstanceFilter, request)
        found = await self._queries.list_process_instances(wanted, lists.page_of(request))
        return lists.listed(pb.ListProcessInstancesResponse, found, lists.process_instance)

    async def UpdateProcessInstance(
        self, request: pb.UpdateProcessInstanceRequest, context: RpcContext
    ) -> process_instance_pb2.ProcessInstance:
        command = mapping.update(request, caller_of(context))
        found = await self._changes.update(request.process_instance_id, command, request_id=request.request_id)
        return lists.process_instance(found)

    async def DeleteProcessInstance(
        self, request: pb.DeleteProcessInstanceRequest, context: RpcContext
    ) -> pb.DeleteProcessInstanceResponse:
        command = cmd.DeleteInstance(
            user_id=caller_of(context), instance_id=request.process_instance_id, reason=request.delete_reason
        )
        await self._changes.submit(command, request_id=request.request_id)
        return pb.DeleteProcessInstanceResponse()

    async def BulkDeleteProcessInstances(
        self, request: pb.BulkDeleteProcessInstancesRequest, context: RpcContext
    ) -> pb.BulkDeleteProcessInstancesResponse:
        commands = mapping.deletions(request, caller_of(context))
        await self._changes.delete_all(commands, request_id=request.request_id)
        return pb.BulkDeleteProcessInstancesResponse()

    async def ChangeProcessInstanceState(
        self, request: pb.ChangeProcessInstanceStateRequest, context: RpcContext
    ) -> pb.ChangeProcessInstanceStateResponse:
        command = mapping.change_state(request, caller_of(context))
        await self._changes.submit(command, request_id=request.request_id)
        return pb.ChangeProcessInstanceStateResponse()

    async def MigrateProcessInstance(
        self, request: pb.MigrateProcessInstanceRequest, context: RpcContext
    ) -> pb.MigrateProcessInstanceResponse:
        command = mapping.migrate(request, caller_of(context))
        await self._changes.migrate(command, starts.migration_target(request), request_id=request.request_id)
        return pb.MigrateProcessInstanceResponse()

    async def ValidateProcessInstanceMigration(
        self, request: pb.ValidateProcessInstanceMigrationRequest, context: RpcContext
    ) -> pb.ValidateProcessInstanceMigrationResponse:
        command = mapping.migrate(request, caller_of(context))
        found = await self._changes.migrate(command, starts.migration_target(request))
        return pb.ValidateProcessInstanceMigrationResponse(migration_valid=not found, validation_messages=found)

    async def EvaluateConditions(
        self, request: pb.EvaluateConditionsRequest, context: RpcContext
    ) -> pb.EvaluateConditionsResponse:
        command = cmd.EvaluateConditions(user_id=caller_of(context), instance_id=request.process_instance_id)
        await self._changes.submit(command, request_id=request.request_id)
        return pb.EvaluateConditionsResponse()

    # --- variables of process instances -------------------------------------------------------------------------------

    async def ListProcessInstanceVariables(
        self, request: pb.ListProcessInstanceVariablesRequest, context: RpcContext
    ) -> AsyncIterator[variable_pb2.Variable]:
        read_scope(request.scope)
        found = await self._queries.list_process_instance_variables(request.process_instance_id)
        for variable in lists.variables(found, f"{lists.INSTANCES}/{request.process_instance_id}"):
            yield variable

    async def CreateProcessInstanceVariables(
        self, request: pb.CreateProcessInstanceVariablesRequest, context: RpcContext
    ) -> AsyncIterator[variable_pb2.Variable]:
        user_id, request_id = caller_of(context), request.request_id
        change = variables.of_instance(request.variables, user_id, request_id, create_only=True)
        await self._variables.set_of_instance(request.process_instance_id, change)
        for variable in variables.answer(change, f"{lists.INSTANCES}/{request.process_instance_id}"):
            yield variable

    async def UpsertProcessInstanceVariables(
        self, request: pb.UpsertProcessInstanceVariablesRequest, context: RpcContext
    ) -> AsyncIterator[variable_pb2.Variable]:
        user_id, request_id = caller_of(context), request.request_id
        change = variables.of_instance(request.variables, user_id, request_id, create_only=False)
        await self._variables.set_of_instance(request.process_instance_id, change)
        for variable in variables.answer(change, f"{lists.INSTANCES}/{request.process_instance_id}"):
            yield variable

    async def DeleteProcessInstanceVariables(
        self, request: pb.DeleteProcessInstanceVariablesRequest, context: RpcContext
    ) -> pb.DeleteProcessInstanceVariablesResponse:
        removal = variables.all_removed(caller_of(context), request.request_id)
        await self._variables.remove_of_instance(request.process_instance_id, removal)
        return pb.DeleteProcessInstanceVariablesResponse()

    async def GetProcessInstanceVariable(
        self, request: pb.GetProcessInstanceVariableRequest, context: RpcContext
    ) -> variable_pb2.Variable:
        found = await self._queries.get_process_instance_variable(request.process_instance_id, request.variable_name)
        return lists.named_variable(found, f"{lists.INSTANCES}/{request.process_instance_id}")

    async def UpdateProcessInstanceVariable(
        self, request: pb.UpdateProcessInstanceVariableRequest, context: RpcContext
    ) -> variable_pb2.Variable:
        user_id, request_id = caller_of(context), request.request_id
        change = variables.updated_of_instance(request.variable_name, request.variable, user_id, request_id)
        await self._variables.set_of_instance(request.process_instance_id, change)
        return variables.answer(change, f"{lists.INSTANCES}/{request.process_instance_id}")[0]

    async def DeleteProcessInstanceVariable(
        self, request: pb.DeleteProcessInstanceVariableRequest, context: RpcContext
    ) -> pb.DeleteProcessInstanceVariableResponse:
        removal = variables.removed(request.variable_name, "", caller_of(context), request.request_id)
        await self._variables.remove_of_instance(request.process_instance_id, removal)
        return pb.DeleteProcessInstanceVariableResponse()

    async def GetProcessInstanceVariableData(
        self, request: pb.GetProcessInstanceVariableDataRequest, context: RpcContext
    ) -> httpbody_pb2.HttpBody:
        found = await self._queries.get_process_instance_variable(request.process_instance_id, request.variable_name)
        return variables.data(found.name, found.variable)

    async def UploadProcessInstanceVariable(
        self, request: pb.UploadProcessInstanceVariableRequest, context: RpcContext
    ) -> variable_pb2.Variable:
        change = await asyncio.to_thread(variables.uploaded, request, caller_of(context), of_instance=True)
        await self._variables.set_of_instance(request.process_instance_id, change)
        await variables.say_changed(request, context)
        return variables.answer(change, f"{lists.INSTANCES}/{request.process_instance_id}")[0]

    # --- identity links -----------------------------------------------------------------------------------------------

    async def ListProcessInstanceIdentityLinks(
        self, request: pb.ListProcessInstanceIdentityLinksRequest, context: RpcContext
    ) -> AsyncIterator[identity_link_pb2.IdentityLink]:
        for found in await self._queries.list_process_instance_identity_links(request.process_instance_id):
            yield lists.identity_link(found)

    async def CreateProcessInstanceIdentityLink(
        self, request: pb.CreateProcessInstanceIdentityLinkRequest, context: RpcContext
    ) -> identity_link_pb2.IdentityLink:
        await self._changes.submit(mapping.add_link(request, caller_of(context)), request_id=request.request_id)
        return identity_link_pb2.IdentityLink(user=request.user, type=request.type)

    async def GetProcessInstanceIdentityLink(
        self, request: pb.GetProcessInstanceIdentityLinkRequest, context: RpcContext
    ) -> identity_link_pb2.IdentityLink:
        return lists.identity_link(
            await self._queries.get_process_instance_identity_link(
                request.process_instance_id, request.user, request.type
            )
        )

    async def DeleteProcessInstanceIdentityLink(
        self, request: pb.DeleteProcessInstanceIdentityLinkRequest, context: RpcContext
    ) -> pb.DeleteProcessInstanceIdentityLinkResponse:
        await self._changes.submit(mapping.remove_link(request, caller_of(context)), request_id=request.request_id)
        return pb.DeleteProcessInstanceIdentityLinkResponse()

    # --- executions ---------------------------------------------------------------------------------------------------

    async def GetExecution(self, request: pb.GetExecutionRequest, context: RpcContext) -> execution_pb2.Execution:
        return lists.execution(await self._queries.get_execution(request.execution_id))

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: RpcContext) -> pb.ListExecutionsResponse:
        wanted = lists.filter_of(ExecutionFilter, request)
        found = await self._queries.list_executions(wanted, lists.page_of(request))
        return lists.listed(pb.ListExecutionsResponse, found, lists.execution)

    async def ListActiveActivities(
        self, request: pb.ListActiveActivitiesRequest, context: RpcContext
    ) -> AsyncIterator[struct_pb2.Value]:
        for activity_id in await self._queries.list_active_activities(request.execution_id):
            yield struct_pb2.Value(string_value=activity_id)

    async def ExecuteExecutionAction(
        self, request: pb.ExecuteExecutionActionRequest, context: RpcContext
    ) -> execution_pb2.Execution:
        command = mapping.execution_action(request, caller_of(context))
        woken = await self._changes.wake(request.execution_id, command, request_id=request.request_id)
        return lists.execution(woken.view, ended=woken.ended)

    async def ChangeExecutionState(
        self, request: pb.ChangeExecutionStateRequest, context: RpcContext
    ) -> pb.ChangeExecutionStateResponse:
        found = await self._queries.get_execution(request.execution_id)
        command = mapping.change_execution_state(request, found.process_instance_id, caller_of(context))
        await self._changes.submit(command, request_id=request.request_id)
        return pb.ChangeExecutionStateResponse()

    # --- variables of executions --------------------------------------------------------------------------------------

    async def ListExecutionVariables(
        self, request: pb.ListExecutionVariablesRequest, context: RpcContext
    ) -> AsyncIterator[variable_pb2.Variable]:
        found = await self._queries.list_execution_variables(request.execution_id, read_scope(request.scope))
        for variable in lists.variables(found, f"{lists.EXECUTIONS}/{request.execution_id}"):
            yield variable

    async def CreateExecutionVariables(
        self, request: pb.CreateExecutionVariablesRequest, context: RpcContext
    ) -> AsyncIterator[variable_pb2.Variable]:
        change = variables.created(request.variables, caller_of(context), request.request_id)
        await self._variables.set(request.execution_id, change)
        for variable in variables.answer(change, f"{lists.EXECUTIONS}/{request.execution_id}"):
            yield variable

    async def UpsertExecutionVariables(
        self, request: pb.UpsertExecutionVariablesRequest, context: RpcContext
    ) -> AsyncIterator[variable_pb2.Variable]:
        change = variables.upserted(request.variables, caller_of(context), request.request_id)
        await self._variables.set(request.execution_id, change)
        for variable in variables.answer(change, f"{lists.EXECUTIONS}/{request.execution_id}"):
            yield variable

    async def DeleteExecutionVariables(
        self, request: pb.DeleteExecutionVariablesRequest, context: RpcContext
    ) -> pb.DeleteExecutionVariablesResponse:
        removal = variables.all_removed(caller_of(context), request.request_id)
        await self._variables.remove(request.execution_id, removal)
        return pb.DeleteExecutionVariablesResponse()

    async def GetExecutionVariable(
        self, request: pb.GetExecutionVariableRequest, context: RpcContext
    ) -> variable_pb2.Variable:
        scope = read_scope(request.scope)
        found = await self._queries.get_execution_variable(request.execution_id, request.variable_name, scope)
        return lists.named_variable(found, f"{lists.EXECUTIONS}/{request.execution_id}")

    async def UpdateExecutionVariable(
        self, request: pb.UpdateExecutionVariableRequest, context: RpcContext
    ) -> variable_pb2.Variable:
        change = variables.updated(request.variable_name, request.variable, caller_of(context), request.request_id)
        await self._variables.set(request.execution_id, change)
        return variables.answer(change, f"{lists.EXECUTIONS}/{request.execution_id}")[0]

    async def DeleteExecutionVariable(
        self, request: pb.DeleteExecutionVariableRequest, context: RpcContext
    ) -> pb.DeleteExecutionVariableResponse:
        removal = variables.removed(request.variable_name, request.scope, caller_of(context), request.request_id)
        await self._variables.remove(request.execution_id, removal)
        return pb.DeleteExecutionVariableResponse()

    async def GetExecutionVariableData(
        self, request: pb.GetExecutionVariableDataRequest, context: RpcContext
    ) -> httpbody_pb2.HttpBody:
        scope = read_scope(request.scope)
        found = await self._queries.get_execution_variable(request.execution_id, request.variable_name, scope)
        return variables.data(found.name, found.variable)

    async def UploadExecutionVariable(
        self, request: pb.UploadExecutionVariableRequest, context: RpcContext
    ) -> variable_pb2.Variable:
        change = await asyncio.to_thread(variables.uploaded, request, caller_of(context))
        await self._variables.set(request.execution_id, change)
        await variables.say_changed(request, context)
        return variables.answer(change, f"{lists.EXECUTIONS}/{request.execution_id}")[0]

    # --- what goes on in instances ------------------------------------------------------------------------------------

    async def ListActivityInstances(
        self, request: pb.ListActivityInstancesRequest, context: RpcContext
    ) -> pb.ListActivityInstancesResponse:
        wanted = lists.filter_of(ActivityInstanceFilter, request)
        found = await self._queries.list_activity_instances(wanted, lists.page_of(request))
        return lists.listed(pb.ListActivityInstancesResponse, found, lists.activity_instance)

    async def ListEventSubscriptions(
        self, request: pb.ListEventSubscriptionsRequest, context: RpcContext
    ) -> pb.ListEventSubscriptionsResponse:
        wanted = lists.filter_of(EventSubscriptionFilter, request)
        found = await self._queries.list_event_subscriptions(wanted, lists.page_of(request))
        return lists.listed(pb.ListEventSubscriptionsResponse, found, lists.event_subscription)

    async def GetEventSubscription(
        self, request: pb.GetEventSubscriptionRequest, context: RpcContext
    ) -> execution_pb2.EventSubscription:
        return lists.event_subscription(await self._queries.get_event_subscription(request.event_subscription_id))

    async def ListVariableInstances(
        self, request: pb.ListVariableInstancesRequest, context: RpcContext
    ) -> pb.ListVariableInstancesResponse:
        wanted = lists.filter_of(VariableInstanceFilter, request)
        found = await self._queries.list_variable_instances(wanted, lists.page_of(request))
        return lists.listed(pb.ListVariableInstancesResponse, found, lists.variable_instance)

    async def GetVariableInstanceData(
        self, request: pb.GetVariableInstanceDataRequest, context: RpcContext
    ) -> httpbody_pb2.HttpBody:
        found = await self._queries.get_variable_instance(request.variable_instance_id)
        return variables.data(found.name, found.variable)

    # --- signals and messages -----------------------------------------------------------------------------------------

    async def SendSignal(self, request: pb.SendSignalRequest, context: RpcContext) -> pb.SendSignalResponse:
        await self._signalling.send(starts.signal(request, caller_of(context)))
        return pb.SendSignalResponse()

    async def CorrelateMessage(
        self, request: pb.CorrelateMessageRequest, context: RpcContext
    ) -> pb.CorrelateMessageResponse:
        found = await self._correlation.correlate(starts.correlate(request, caller_of(context)))
        return starts.correlated(found)
