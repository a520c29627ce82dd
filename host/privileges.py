"""Makes docs/reference/privileges.md from the contract: every privilege, and the methods that it opens."""

from collections.abc import Iterator
from typing import Final

from mesh.access.contract import AccessRules

PAGE: Final = "privileges.md"
_HEAD: Final = """# Privileges

Made from the contract by `make gen`. A user has names of this list, or patterns of them: `engine.task.*`, `engine.*`,
`*`. What rests on rules beside these is told in [access.md](../access.md).
"""


def page(rules: AccessRules) -> str:
    """The whole page."""
    return "\n".join((_HEAD, *_tables(rules)))


def _tables(rules: AccessRules) -> Iterator[str]:
    methods: dict[str, list[str]] = {}
    public: list[str] = []
    for rule in rules:
        name = rule.method.rpartition(".")[2].replace("/", ".")
        if rule.public:
            public.append(name)
        else:
            methods.setdefault(rule.privilege, []).append(name)
    for service in sorted({privilege.split(".")[0] for privilege in methods}):
        yield f"## {service}\n\n| privilege | opens |\n| --- | --- |"
        for privilege in sorted(methods):
            if privilege.split(".")[0] == service:
                yield f"| `{privilege}` | {', '.join(sorted(methods[privilege]))} |"
        yield ""
    yield "## Without a token\n"
    yield (", ".join(sorted(public)) or "None but health and server reflection") + ".\n"
