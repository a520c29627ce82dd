"""Every privilege is told to operators: those of methods on a page that is made, the others by hand."""

import re
from pathlib import Path

from engine.rpc.context import PROCESS_MANAGE, TASK_MANAGE
from engine.rpc.mapping_tasks import _PRIVILEGES
from mesh.access import TENANTS_ALL
from tests.contract.described import rpcs

DOCS = Path(__file__).parents[2] / "docs"
NAMED = re.compile(r"[a-z]+\.[a-z-]+\.[a-z-]+")


def test_the_page_of_privileges_lists_every_one_with_its_methods() -> None:
    rows = dict(
        re.findall(r"^\| `([^`]+)` \| (.+) \|$", (DOCS / "reference" / "privileges.md").read_text(), re.MULTILINE)
    )
    listed = {(privilege, method) for privilege, methods in rows.items() for method in methods.split(", ")}

    declared = {
        (rpc.access.privilege, f"{rpc.service.rpartition('.')[2]}.{rpc.name}")
        for rpc in rpcs()
        if rpc.access is not None and rpc.access.privilege
    }

    assert listed == declared


def test_every_method_without_a_token_is_listed() -> None:
    page = (DOCS / "reference" / "privileges.md").read_text()
    public = [rpc for rpc in rpcs() if rpc.access is not None and rpc.access.public]

    assert public
    assert [str(rpc) for rpc in public if f"{rpc.service.rpartition('.')[2]}.{rpc.name}" not in page] == []


def test_privileges_beside_those_of_methods_have_the_pattern_and_are_told() -> None:
    text = (DOCS / "access.md").read_text()

    for privilege in (TASK_MANAGE, PROCESS_MANAGE):
        assert NAMED.fullmatch(privilege)
        assert f"| `{privilege}` |" in text
    assert f"| `{TENANTS_ALL}` |" in text


def test_an_action_needs_the_privilege_of_the_method_that_does_the_same() -> None:
    by_method = {rpc.name: rpc.access.privilege for rpc in rpcs() if rpc.access is not None}

    methods = {f"{action.title()}Task": privilege for action, privilege in _PRIVILEGES.items()}

    assert methods == {name: by_method[name] for name in methods}
