"""What the check of access costs a call whose token and permissions are known, side by side with no check."""

import asyncio

from mesh.access.contract import AccessRules, Rule, privilege_patterns
from mesh.access.control import Access, OpenAccess
from mesh.access.permissions import Permissions
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.testing.access import IdentityForTests
from tests.bench.measuring import cpu_microseconds, interleaved

CALLS = 20_000
ROUNDS = 7
BUDGET_MICROSECONDS = 15
METHOD = "/flowloom.engine.v1.TaskService/CompleteTask"
PRIVILEGE = "engine.task.complete"


def run() -> list[str]:
    """The lines of the report."""
    rule = Rule(method=METHOD, privilege=PRIVILEGE, granted_by=privilege_patterns(PRIVILEGE))
    identity = IdentityForTests()
    identity.allow("kermit", "engine.*", groups=["frogs"])
    metadata = (
        ("x-request-id", "0197a2c0-0000-7000-8000-000000000000"),
        ("user-agent", "bench"),
        ("authorization", f"Bearer {identity.token('kermit', lifetime_seconds=3600)}"),
    )

    async def admit(access: Access) -> None:
        for _ in range(CALLS):
            await access.admit(rule, metadata)

    def each(access: Access) -> float:
        return cpu_microseconds(lambda: asyncio.run(admit(access)), 1) / CALLS

    # The cache that processes have, with nothing but its memory.
    cache = Caches(CacheSettings(), alone=True).open("permissions", Permissions, seconds=7200, entries=1000)
    control = identity.control(AccessRules({METHOD: rule}), cache=cache)
    checked, unchecked = interleaved(ROUNDS, lambda: each(control), lambda: each(OpenAccess()))
    return [
        f"access, caches warm: {checked.shown('µs a call')} (budget <= {BUDGET_MICROSECONDS} µs)",
        f"    without a check {unchecked.shown('µs')}",
    ]
