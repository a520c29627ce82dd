"""What the contract says about who may call: the `access` option of each method, read from the descriptor set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from mesh.access.principal import privilege_patterns

ACCESS_OPTION: Final = "flowloom.options.v1.access"
PUBLIC_SERVICES: Final = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
"""Services of gRPC's own that anybody may call: they tell what runs here, nothing of what it holds."""


class AccessUndeclared(RuntimeError):
    """A method is to be served whose contract does not say who may call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may call one method: everybody, or whoever has one of the names that grant its privilege."""

    method: str
    privilege: str = ""
    public: bool = False
    granted_by: frozenset[str] = frozenset()


class AccessRules:
    """The rules of all methods of a contract, by `/package.Service/Method`."""

    def __init__(self, rules: Mapping[str, Rule], public_services: Iterable[str] = PUBLIC_SERVICES) -> None:
        """`public_services`: full names of services whose methods anybody may call, in the contract or not."""
        self._rules = dict(rules)
        self._public = frozenset(public_services)

    def of(self, method: str) -> Rule:
        """Return a method's rule. Raises AccessUndeclared if there is none."""
        rule = self._rules.get(method)
        if rule is not None:
            return rule
        if method.strip("/").rpartition("/")[0] in self._public:
            return Rule(method=method, public=True)
        raise AccessUndeclared(
            f"expected {method} to say who may call it (option {ACCESS_OPTION}: a privilege, or public), found nothing"
        )

    def __iter__(self) -> Any:
        """Go over all rules of the contract."""
        return iter(self._rules.values())


def read_rules(descriptor_set: bytes, public_services: Iterable[str] = ()) -> AccessRules:
    """Read the rules out of a serialised FileDescriptorSet that includes its imports.

    `public_services` adds to `PUBLIC_SERVICES`. A method that names a privilege and is public, too, or neither, has no
    rule: it is refused when it is registered.
    """
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file:
        pool.Add(file)
    rules: dict[str, Rule] = {}
    try:
        extension: Any = pool.FindExtensionByName(ACCESS_OPTION)
    except KeyError:
        return AccessRules(rules, (*PUBLIC_SERVICES, *public_services))
    options_type = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.MethodOptions"))
    # The class of the options has to know the extension, which is there once the extension's file has its classes.
    message_factory.GetMessageClassesForFiles([extension.file.name], pool)
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file:
        for service in file.service:
            for method in service.method:
                path = f"/{file.package}.{service.name}/{method.name}"
                options: Any = options_type.FromString(method.options.SerializeToString())
                if options.HasExtension(extension):
                    access = options.Extensions[extension]
                    rule = _rule(path, access.privilege, access.public)
                    if rule is not None:
                        rules[path] = rule
    return AccessRules(rules, (*PUBLIC_SERVICES, *public_services))


def _rule(path: str, privilege: str, public: bool) -> Rule | None:
    if bool(privilege) == public:
        return None
    return Rule(method=path, privilege=privilege, public=public, granted_by=privilege_patterns(privilege))
