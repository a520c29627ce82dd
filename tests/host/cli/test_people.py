"""`flowloom users`, `groups`, `privileges` and `tokens` ask the right RPCs with what they were told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import api_token_pb2, group_pb2, privilege_pb2, user_pb2
from flowloom.identity.v1 import identity_service_pb2 as pb
from flowloom.notify.v1 import notification_service_pb2
from typer.testing import CliRunner

from host.cli.application import app
from mesh.clock import SystemClock
from mesh.errors import AlreadyExists, NotFound, PermissionDenied
from tests.host.cli.scripted_mesh import ScriptedMesh

Run = Callable[..., Any]
SECRET = "what nobody may read"
KERMIT = user_pb2.User(id="kermit", first_name="Kermit", email="kermit@pond.example", tenant_id="pond")


def typing_in(scripted_mesh: ScriptedMesh, typed: str, *words: str, **environment: str) -> Any:
    return CliRunner().invoke(
        app, list(words), input=typed, env={"FLOWLOOM_TARGET": scripted_mesh.target} | environment
    )


def test_users_are_listed_with_what_is_known_of_them(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListUsers"] = pb.ListUsersResponse(data=[KERMIT], total=3)

    shown = flowloom("users", "list", "--group", "frogs", "--size", "1")
    document = flowloom("users", "list", "--tenant", "pond", "--json")

    assert "kermit@pond.example" in shown.output
    assert shown.output.rstrip().endswith("1 of 3 users")
    assert json.loads(document.output)["data"][0]["id"] == "kermit"
    (_, first), (_, second) = scripted_mesh.asked
    assert (first.member_of_group, first.HasField("tenant_id"), first.size) == ("frogs", False, 1)
    assert (second.tenant_id, second.HasField("member_of_group")) == ("pond", False)


@pytest.mark.parametrize(
    ("typed", "words", "environment"),
    [
        (f"{SECRET}\n{SECRET}\n", (), {}),
        ("", ("--password", SECRET), {}),
        ("", (), {"FLOWLOOM_NEW_PASSWORD": SECRET}),
    ],
)
def test_a_password_is_typed_or_told_and_never_shown(
    scripted_mesh: ScriptedMesh, typed: str, words: tuple[str, ...], environment: dict[str, str]
) -> None:
    scripted_mesh.answers["CreateUser"] = KERMIT

    result = typing_in(
        scripted_mesh, typed, "users", "create", "kermit", "--email", "kermit@pond.example", *words, **environment
    )

    assert result.exit_code == 0, result.output
    assert result.output.endswith("created kermit\n")
    assert SECRET not in result.output
    ((_, request),) = scripted_mesh.asked
    assert (request.id, request.email, request.password) == ("kermit", "kermit@pond.example", SECRET)
    assert (request.HasField("first_name"), request.HasField("tenant_id")) == (False, False)
    assert (request.must_change_password, bool(request.request_id)) == (False, True)


def test_two_passwords_that_differ_make_no_user(scripted_mesh: ScriptedMesh) -> None:
    result = typing_in(scripted_mesh, "one\nother\n", "users", "create", "kermit")

    assert result.exit_code == 1
    assert scripted_mesh.asked == []


def test_a_user_can_be_without_a_password_or_with_one_for_a_single_use(
    flowloom: Run, scripted_mesh: ScriptedMesh
) -> None:
    flowloom("users", "create", "robot", "--no-password")
    flowloom("users", "create", "kermit", "--one-time", "--password", SECRET)

    robot, kermit = (request for _, request in scripted_mesh.asked)
    assert (robot.HasField("password"), robot.must_change_password) == (False, False)
    assert (kermit.password, kermit.must_change_password) == (SECRET, True)


def test_what_identity_refuses_is_one_line(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["CreateUser"] = AlreadyExists("user-exists", "expected a new id, found 'kermit' taken")
    scripted_mesh.answers["DeleteUser"] = NotFound("user-not-found", "expected a user, found none with id 'nobody'")

    taken = flowloom("users", "create", "kermit", "--no-password")
    unknown = flowloom("users", "delete", "nobody")

    assert (taken.exit_code, unknown.exit_code) == (1, 1)
    assert taken.stderr == "error: user-exists: expected a new id, found 'kermit' taken\n"
    assert unknown.stderr == "error: user-not-found: expected a user, found none with id 'nobody'\n"


def test_deleting_a_user_says_so(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    assert flowloom("users", "delete", "kermit").output == "deleted kermit\n"
    assert json.loads(flowloom("users", "delete", "kermit", "--json").output) == {"userId": "kermit", "deleted": True}
    assert [request.user_id for _, request in scripted_mesh.asked] == ["kermit", "kermit"]


def test_the_password_of_somebody_is_set(scripted_mesh: ScriptedMesh) -> None:
    result = typing_in(scripted_mesh, f"{SECRET}\n{SECRET}\n", "users", "password", "kermit", "--one-time")

    assert result.output.endswith("kermit has a new password\n")
    assert SECRET not in result.output
    ((name, request),) = scripted_mesh.asked
    assert (name, request.user_id, request.password) == ("UpdateUser", "kermit", SECRET)
    assert (request.must_change_password, request.HasField("email")) == (True, False)


def test_ones_own_password_is_changed_with_the_one_so_far(scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["GetCurrentUser"] = access_pb.GetCurrentUserResponse(user_id="kermit")

    result = typing_in(scripted_mesh, f"old one\n{SECRET}\n{SECRET}\n", "users", "password")
    refused = typing_in(scripted_mesh, "", "users", "password", "--one-time", "--password", SECRET)

    assert result.output.endswith("kermit has a new password\n")
    assert "old one" not in result.output
    (_, (name, request)) = scripted_mesh.asked
    assert (name, request.user_id) == ("ChangePassword", "kermit")
    assert (request.password, request.new_password) == ("old one", SECRET)
    assert refused.exit_code == 2


def test_groups_are_listed_made_and_deleted(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    frogs = group_pb2.Group(id="frogs", name="Frogs", type="assignment")
    scripted_mesh.answers["ListGroups"] = pb.ListGroupsResponse(data=[frogs], total=1)
    scripted_mesh.answers["CreateGroup"] = frogs

    assert "assignment" in flowloom("groups", "list", "--user", "kermit").output
    made = flowloom("groups", "create", "frogs", "--name", "Frogs", "--type", "assignment", "--json")
    assert json.loads(made.output) == {"id": "frogs", "name": "Frogs", "type": "assignment"}
    assert flowloom("groups", "delete", "frogs").output == "deleted frogs\n"

    listed, created, deleted = (request for _, request in scripted_mesh.asked)
    assert (listed.member, created.type, created.HasField("tenant_id")) == ("kermit", "assignment", False)
    assert (deleted.group_id, bool(deleted.request_id)) == ("frogs", True)


def test_members_come_and_go(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["CreateMembership"] = group_pb2.Membership(user_id="kermit", group_id="frogs")
    scripted_mesh.answers["DeleteMembership"] = NotFound("membership-not-found", "expected a member, found none")

    added = flowloom("groups", "add", "frogs", "kermit")
    refused = flowloom("groups", "remove", "frogs", "piggy")

    assert added.output == "kermit is in frogs\n"
    assert refused.stderr == "error: membership-not-found: expected a member, found none\n"
    assert [(name, request.group_id, request.user_id) for name, request in scripted_mesh.asked] == [
        ("CreateMembership", "frogs", "kermit"),
        ("DeleteMembership", "frogs", "piggy"),
    ]


def test_a_privilege_is_granted_and_made_if_it_is_new(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["CreatePrivilege"] = privilege_pb2.Privilege(id="p1", name="engine.*")

    new = flowloom("privileges", "grant", "engine.*", "--user", "kermit")
    scripted_mesh.answers["ListPrivileges"] = pb.ListPrivilegesResponse(data=[{"id": "p1"}])  # type: ignore[list-item]
    known = flowloom("privileges", "grant", "engine.*", "--group", "frogs", "--json")

    assert new.output == "kermit has engine.*\n"
    assert json.loads(known.output) == {"privilege": "engine.*", "groupId": "frogs", "granted": True}
    names = [name for name, _ in scripted_mesh.asked]
    assert names == ["ListPrivileges", "CreatePrivilege", "AddPrivilegeUser", "ListPrivileges", "AddPrivilegeGroup"]
    assert [request.name for _, request in scripted_mesh.asked[:2]] == ["engine.*", "engine.*"]
    to_user, to_group = scripted_mesh.asked[2][1], scripted_mesh.asked[4][1]
    assert (to_user.privilege_id, to_user.user_id) == ("p1", "kermit")
    assert (to_group.privilege_id, to_group.group_id) == ("p1", "frogs")


def test_a_privilege_is_revoked_if_there_is_one_of_the_name(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    unknown = flowloom("privileges", "revoke", "engine.*", "--user", "kermit")
    scripted_mesh.answers["ListPrivileges"] = pb.ListPrivilegesResponse(data=[{"id": "p1"}])  # type: ignore[list-item]
    from_user = flowloom("privileges", "revoke", "engine.*", "--user", "kermit")
    from_group = flowloom("privileges", "revoke", "engine.*", "--group", "frogs")

    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("error: privilege-not-found: ")
    assert from_user.output == "kermit no longer has engine.*\n"
    assert from_group.output == "frogs no longer has engine.*\n"
    assert scripted_mesh.asked[2][1].user_id == "kermit"
    assert scripted_mesh.asked[4][1].group_id == "frogs"


@pytest.mark.parametrize("holders", [(), ("--user", "kermit", "--group", "frogs")])
@pytest.mark.parametrize("command", ["grant", "revoke"])
def test_a_privilege_is_for_a_user_or_for_a_group(
    flowloom: Run, scripted_mesh: ScriptedMesh, command: str, holders: tuple[str, ...]
) -> None:
    result = flowloom("privileges", command, "engine.*", *holders)

    assert result.exit_code == 2
    assert scripted_mesh.asked == []


def test_privileges_are_listed_by_holder(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListPrivileges"] = pb.ListPrivilegesResponse(
        data=[privilege_pb2.Privilege(id="p1", name="engine.*")], total=1
    )

    result = flowloom("privileges", "list", "--user", "kermit")

    assert "engine.*" in result.output
    assert result.output.rstrip().endswith("1 privileges")
    assert scripted_mesh.asked[0][1].user_id == "kermit"


def test_a_token_is_shown_once_and_alone(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    token = api_token_pb2.ApiToken(id="t1", user_id="kermit", name="ci", prefix="flt_ab", active=True)
    scripted_mesh.answers["CreateApiToken"] = access_pb.CreateApiTokenResponse(api_token=token, secret="flt_abcdef")
    scripted_mesh.answers["ListApiTokens"] = access_pb.ListApiTokensResponse(data=[token], total=1)
    before = int(SystemClock().now().timestamp())

    made = flowloom("tokens", "create", "ci", "--days", "30")
    document = flowloom("tokens", "create", "ci", "--user", "robot", "--json")
    listed = flowloom("tokens", "list", "--active")

    assert made.output == "flt_abcdef\n"
    assert json.loads(document.output)["apiToken"]["id"] == "t1"
    assert "flt_ab" in listed.output
    assert "flt_abcdef" not in listed.output
    own, other, asked = (request for _, request in scripted_mesh.asked)
    assert 0 <= own.expire_time.seconds - before - 30 * 86_400 < 60
    assert (own.user_id, other.user_id, other.HasField("expire_time")) == ("", "robot", False)
    assert (asked.active, asked.HasField("user_id")) == (True, False)


def test_a_token_of_others_is_not_revoked_without_the_right(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    assert flowloom("tokens", "revoke", "t1").output == "revoked t1\n"
    scripted_mesh.answers["RevokeApiToken"] = PermissionDenied("privilege-missing", "expected a privilege, found none")

    refused = flowloom("tokens", "revoke", "t2")

    assert refused.stderr == "error: privilege-missing: expected a privilege, found none\n"
    assert [request.token_id for _, request in scripted_mesh.asked] == ["t1", "t2"]


def test_a_person_is_erased_from_every_service_in_order(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["EraseUser"] = pb.EraseUserResponse(removed={"user": 1})
    scripted_mesh.answers["EraseRecipient"] = notification_service_pb2.EraseRecipientResponse(removed={"delivery": 7})

    shown = flowloom("users", "erase", "kermit", "--with-values", "--variable", "address")
    document = flowloom("users", "erase", "kermit", "--json")

    assert shown.exit_code == 0, shown.output
    assert [name for name, _ in scripted_mesh.asked[:4]] == [
        "EraseUser",
        "EraseRecipient",
        "ErasePerson",
        "ErasePerson",
    ]
    assert {request.user_id for _, request in scripted_mesh.asked} == {"kermit"}
    forms, history = scripted_mesh.asked[2][1], scripted_mesh.asked[3][1]
    assert (forms.with_values, list(history.variable_names), history.with_comments) == (True, ["address"], False)
    assert json.loads(document.output)["notify"] == {"delivery": 7}
    assert shown.output.rstrip().endswith("2 kinds of rows")


def test_an_erasure_that_is_refused_says_how_far_it_came(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["EraseRecipient"] = PermissionDenied("privilege-missing", "expected a privilege, found none")

    result = flowloom("users", "erase", "kermit")

    assert result.exit_code == 1
    assert result.stdout == "erased from identity\n"
    assert result.stderr == "error: privilege-missing: expected a privilege, found none\n"
