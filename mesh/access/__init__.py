"""Who calls, and whether they may: principals, verified tokens, privileges looked up through a cache, the check.

Knows no service and none of our stubs. The privilege of a method is read from the descriptor set's `access` option;
keys and permissions come through the ports `KeySource` and `PermissionSource`, which `host/access.py` fills with
identity's stubs.
"""

from mesh.access.principal import (
    ALL_PRIVILEGES,
    NOBODY,
    TENANTS_ALL,
    Principal,
    acting_as,
    current_principal,
    privilege_patterns,
    served_principal,
)

__all__ = [
    "ALL_PRIVILEGES",
    "NOBODY",
    "TENANTS_ALL",
    "Principal",
    "acting_as",
    "current_principal",
    "privilege_patterns",
    "served_principal",
]
