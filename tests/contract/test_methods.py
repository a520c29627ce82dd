"""Every method of the contract keeps the rules that servers, edge and clients rely on."""

import re
from collections import Counter

from google.protobuf.descriptor import FieldDescriptor

from tests.contract.described import Binding, Rpc, files, pool, reachable, rpcs

# Over REST these are an answer, or an element of one, with nothing around them.
RESOURCES = {
    "flowloom.engine.v1.Comment",
    "flowloom.engine.v1.Deployment",
    "flowloom.engine.v1.DeploymentResource",
    "flowloom.engine.v1.EventSubscription",
    "flowloom.engine.v1.Execution",
    "flowloom.engine.v1.ExternalWorkerJob",
    "flowloom.engine.v1.FormReference",
    "flowloom.engine.v1.IdentityLink",
    "flowloom.engine.v1.Job",
    "flowloom.engine.v1.ProcessDefinition",
    "flowloom.engine.v1.ProcessInstance",
    "flowloom.engine.v1.Saga",
    "flowloom.engine.v1.SagaParticipant",
    "flowloom.engine.v1.Task",
    "flowloom.engine.v1.TaskEvent",
    "flowloom.engine.v1.Variable",
    "flowloom.events.v1.DeadLetter",
    "flowloom.forms.v1.FormDefinition",
    "flowloom.forms.v1.FormDeployment",
    "flowloom.forms.v1.FormInstance",
    "flowloom.history.v1.ArchivePolicy",
    "flowloom.history.v1.Erasure",
    "flowloom.history.v1.HistoricActivityInstance",
    "flowloom.history.v1.HistoricIdentityLink",
    "flowloom.history.v1.HistoricProcessInstance",
    "flowloom.history.v1.HistoricTaskInstance",
    "flowloom.history.v1.HistoricVariableInstance",
    "flowloom.history.v1.Rebuild",
    "flowloom.identity.v1.Group",
    "flowloom.identity.v1.IdmEngine",
    "flowloom.identity.v1.Membership",
    "flowloom.identity.v1.Privilege",
    "flowloom.identity.v1.Tenant",
    "flowloom.identity.v1.User",
    "flowloom.identity.v1.UserInfo",
    "flowloom.notify.v1.Delivery",
    "flowloom.notify.v1.Preferences",
    "flowloom.notify.v1.Template",
    "google.api.HttpBody",
    "google.protobuf.Struct",
    "google.protobuf.Value",
}
# A stream of pushed jobs cannot be repeated as a whole: its jobs have their locks and tokens.
# On a batch stream each command has its own.
BATCH_STREAMS = {
    "flowloom.engine.v1.ExternalWorkerService.WorkJobs",
    "flowloom.engine.v1.RuntimeService.StartProcessInstances",
    "flowloom.engine.v1.TaskService.CompleteTasks",
}
WITHOUT_REQUEST_ID = {"flowloom.engine.v1.ExternalWorkerService.StreamJobs", *BATCH_STREAMS}
# What has no REST form: streams in both directions, and what only the engine calls.
GRPC_ONLY = {
    *BATCH_STREAMS,
    "flowloom.saga.v1.SagaParticipantService.Compensate",
    "flowloom.saga.v1.SagaParticipantService.Execute",
}
LONG_KINDS = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}
PAGING = {"start": 101, "size": 102, "sort": 103, "order": 104, "page_token": 105}
ENVELOPE = ["data", "total", "start", "sort", "order", "size", "next_page_token"]


def broken(holds: dict[str, bool]) -> list[str]:
    return sorted(name for name, good in holds.items() if not good)


def has_one_clear_privilege(rpc: Rpc) -> bool:
    access = rpc.access
    if access is None:
        return False
    named = re.fullmatch(r"[a-z]+\.[a-z-]+\.[a-z-]+", access.privilege) is not None
    return named != access.public and (named or not access.privilege)


def lists(rpc: Rpc) -> bool:
    return rpc.name.startswith("List") and not rpc.proto.server_streaming


def test_the_descriptor_set_holds_the_methods_of_every_service() -> None:
    services = {rpc.service for rpc in rpcs()}

    assert services == {
        "flowloom.engine.v1.ExternalWorkerService",
        "flowloom.engine.v1.FormDataService",
        "flowloom.engine.v1.ManagementService",
        "flowloom.engine.v1.RepositoryService",
        "flowloom.engine.v1.RuntimeService",
        "flowloom.engine.v1.SagaService",
        "flowloom.engine.v1.TaskService",
        "flowloom.events.v1.DeadLetterService",
        "flowloom.forms.v1.FormRepositoryService",
        "flowloom.forms.v1.FormService",
        "flowloom.gateway.v1.DescriptionService",
        "flowloom.history.v1.ArchiveService",
        "flowloom.history.v1.ErasureService",
        "flowloom.history.v1.HistoryLogService",
        "flowloom.history.v1.HistoryService",
        "flowloom.history.v1.RebuildService",
        "flowloom.history.v1.SearchService",
        "flowloom.history.v1.StatisticsService",
        "flowloom.identity.v1.AccessService",
        "flowloom.identity.v1.IdentityService",
        "flowloom.notify.v1.NotificationService",
        "flowloom.notify.v1.PreferenceService",
        "flowloom.notify.v1.TemplateService",
        "flowloom.saga.v1.SagaParticipantService",
    }


def test_every_method_names_the_privilege_that_it_needs_or_is_public() -> None:
    assert broken({str(rpc): has_one_clear_privilege(rpc) for rpc in rpcs()}) == []


def test_a_privilege_begins_with_the_service_that_checks_it() -> None:
    def fits(rpc: Rpc) -> bool:
        access = rpc.access
        return access is not None and (access.public or access.privilege.split(".")[0] == rpc.service.split(".")[1])

    assert broken({str(rpc): fits(rpc) for rpc in rpcs()}) == []


def test_every_method_that_changes_something_takes_a_request_id() -> None:
    def takes(rpc: Rpc) -> bool:
        field = rpc.method.input_type.fields_by_name.get("request_id")
        return field is not None and field.type == FieldDescriptor.TYPE_STRING and field.number == 100

    assert broken({str(rpc): takes(rpc) for rpc in rpcs() if not rpc.read_only}) == sorted(WITHOUT_REQUEST_ID)


def test_a_method_that_only_reads_takes_no_request_id() -> None:
    assert (
        broken({str(rpc): "request_id" not in rpc.method.input_type.fields_by_name for rpc in rpcs() if rpc.read_only})
        == []
    )


def test_what_is_bound_to_get_only_reads_and_what_is_bound_to_delete_does_not() -> None:
    def fits(rpc: Rpc, binding: Binding) -> bool:
        return rpc.read_only if binding.verb == "GET" else not (rpc.read_only and binding.verb in {"PUT", "DELETE"})

    assert broken({f"{rpc} {at.shape}": fits(rpc, at) for rpc in rpcs() for at in rpc.bindings}) == []


def test_every_method_but_those_of_grpc_only_is_bound_to_rest() -> None:
    assert broken({str(rpc): bool(rpc.bindings) for rpc in rpcs()}) == sorted(GRPC_ONLY)


def test_no_two_bindings_share_verb_and_template() -> None:
    shapes = Counter(binding.shape for rpc in rpcs() for binding in rpc.bindings)

    assert [shape for shape, count in shapes.items() if count > 1] == []


def test_the_names_of_variables_do_not_tell_two_templates_apart() -> None:
    plain = Binding(verb="GET", template="/x/{id}/y", body="")
    named = Binding(verb="GET", template="/x/{task_id=*}/y/", body="")
    literal = Binding(verb="GET", template="/x/{kind=jobs}/y", body="")

    assert plain.shape == named.shape == "GET /x/*/y"
    assert literal.shape == "GET /x/jobs/y"


def test_the_variables_of_a_template_are_strings_of_the_request() -> None:
    def known(rpc: Rpc, name: str) -> bool:
        field = rpc.method.input_type.fields_by_name.get(name)
        return field is not None and field.type == FieldDescriptor.TYPE_STRING

    assert (
        broken({f"{rpc} {name}": known(rpc, name) for rpc in rpcs() for at in rpc.bindings for name in at.variables})
        == []
    )


def test_no_body_can_be_a_bare_scalar() -> None:
    """The edge waits forever for the end of a body that is a bare number."""

    def safe(rpc: Rpc, body: str) -> bool:
        if body in {"", "*"}:
            return True
        message = rpc.method.input_type.fields_by_name[body].message_type
        return message is not None and message.full_name != "google.protobuf.Value"

    assert broken({f"{rpc} {at.shape}": safe(rpc, at.body) for rpc in rpcs() for at in rpc.bindings}) == []


def test_paths_are_those_of_flowable_or_begin_with_the_service_that_has_more() -> None:
    prefixes = (
        "/history-api/",
        "/process-api/",
        "/external-job-api/",
        "/idm-api/",
        "/identity-api/",
        "/.well-known/",
        "/bus-api/",
        "/form-api/",
        "/notify-api/",
        "/saga-api/",
        "/docs",
    )

    assert broken({at.template: at.template.startswith(prefixes) for rpc in rpcs() for at in rpc.bindings}) == []


def test_the_http_status_of_a_success_is_one_that_the_edge_can_set() -> None:
    assert broken({str(rpc): rpc.http_status in {0, 201, 202, 204} for rpc in rpcs()}) == []


def test_what_answers_no_content_has_nothing_to_say() -> None:
    assert broken({str(rpc): not rpc.method.output_type.fields for rpc in rpcs() if rpc.http_status == 204}) == []


def test_what_is_deleted_over_rest_answers_no_content() -> None:
    deletions = [rpc for rpc in rpcs() if rpc.bindings and rpc.bindings[0].verb == "DELETE"]

    assert deletions
    assert broken({str(rpc): rpc.http_status == 204 for rpc in deletions}) == []


def test_every_method_has_a_comment() -> None:
    assert broken({str(rpc): len(rpc.comment) > 10 for rpc in rpcs()}) == []


def test_a_method_on_something_with_an_id_says_when_it_is_not_found() -> None:
    def says(rpc: Rpc) -> bool:
        by_id = any(pattern in {"*", "**"} for at in rpc.bindings for pattern in at.variables.values())
        return not by_id or "NOT_FOUND" in rpc.comment or "rrors as" in rpc.comment

    assert broken({str(rpc): says(rpc) for rpc in rpcs()}) == []


def test_every_request_is_the_methods_own() -> None:
    assert broken({str(rpc): rpc.method.input_type.name == f"{rpc.name}Request" for rpc in rpcs()}) == []
    assert [name for name, count in Counter(rpc.proto.input_type for rpc in rpcs()).items() if count > 1] == []


def test_every_response_is_the_methods_own_or_a_resource() -> None:
    def own(rpc: Rpc) -> bool:
        return rpc.method.output_type.name == f"{rpc.name}Response" or rpc.method.output_type.full_name in RESOURCES

    assert broken({str(rpc): own(rpc) for rpc in rpcs()}) == []


def test_only_batch_streams_are_client_streams() -> None:
    """A client stream has no REST form and no request id for a retry: each of its commands needs its own."""
    assert broken({str(rpc): not rpc.proto.client_streaming for rpc in rpcs()}) == sorted(BATCH_STREAMS)


def test_every_list_pages_alike() -> None:
    def pages(rpc: Rpc) -> bool:
        request, response = rpc.method.input_type, rpc.method.output_type
        asked = {name: field.number for name, field in request.fields_by_name.items() if name in PAGING}
        return asked == PAGING and [field.name for field in response.fields] == ENVELOPE

    found = [rpc for rpc in rpcs() if lists(rpc)]

    assert len(found) >= 10
    assert broken({str(rpc): pages(rpc) for rpc in found}) == []


def test_no_number_over_rest_has_64_bits() -> None:
    """The edge prints them as strings, where Flowable prints numbers."""
    wide = {
        f"{message.full_name}.{field.name}"
        for rpc in rpcs()
        for top in (rpc.method.input_type, rpc.method.output_type)
        for message in reachable(top)
        if message.full_name.startswith("flowloom.")
        for field in message.fields
        if field.type in LONG_KINDS
    }

    assert wide == set()


def test_every_enum_begins_with_unspecified() -> None:
    enums = [enum for file in files() if file.name.startswith("flowloom/") for enum in file.enum_type]

    assert enums
    assert (
        broken({enum.name: enum.value[0].number == 0 and enum.value[0].name.endswith("_UNSPECIFIED") for enum in enums})
        == []
    )


def test_the_descriptor_set_is_complete_and_in_order() -> None:
    known = {file.name for file in files()}

    assert {
        "google/rpc/error_details.proto",
        "grpc_health/v1/health.proto",
        "grpc_reflection/v1alpha/reflection.proto",
    } <= known
    assert pool().FindServiceByName("grpc.health.v1.Health").methods_by_name.get("Check") is not None
    assert pool().FindMessageTypeByName("google.rpc.ErrorInfo").fields_by_name.get("reason") is not None


def test_a_name_is_a_moment_in_every_request_or_in_none() -> None:
    # In lists the edge completes moments by their names, whichever method they go to.
    kinds: dict[str, set[bool]] = {}
    for rpc in rpcs():
        if any(binding.verb == "GET" for binding in rpc.bindings):
            for field in rpc.method.input_type.fields:
                moment = field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp"
                kinds.setdefault(field.json_name, set()).add(moment)

    assert [name for name, found in kinds.items() if len(found) > 1] == []
    assert kinds["createdAfter"] == {True}
