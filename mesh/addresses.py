"""Which network addresses a process may call: none inside our own network, unless a setting allows it.

A name is resolved once and the connection goes to the address that was checked, so a name that answers differently the
next time (DNS rebinding) leads nowhere else.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host name, the preferred one first."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_IPV4_MASK: Final = 0xFFFFFFFF


class AddressRefused(Exception):
    """A host that may not be called, or that has no address."""


def is_public(address: str) -> bool:
    """Tell whether an address belongs to the public internet; IPv4 inside IPv6 counts as the IPv4 that it is."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & _IPV4_MASK)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the operating system for the addresses of a name. Raises OSError if there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class GuardedTransport(httpx.AsyncBaseTransport):
    """Checks the address of each request, those after a redirect included, and connects to no other."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        allow_private: bool,
        resolver: Resolver = resolve,
        setting: str = "http_allow_private_addresses",
    ) -> None:
        """`inner` must not keep connections: they would be shared by names that only have the address in common.

        `setting` is named where an address is refused.
        """
        self._inner = inner
        self._allow_private = allow_private
        self._resolver = resolver
        self._setting = setting

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to an address that was checked. Raises AddressRefused, or httpx's errors."""
        host = request.url.host
        address = await self._address(host, request.url.port or (443 if request.url.scheme == "https" else 80))
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._inner.handle_async_request(pinned)

    async def _address(self, host: str, port: int) -> str:
        try:
            addresses = await self._resolver(host, port)
        except OSError as error:
            raise AddressRefused(f"expected host '{host}' to have an address, found none: {error}") from error
        for address in addresses:
            if self._allow_private or is_public(address):
                return address
        raise AddressRefused(
            f"expected a public address, found host '{host}' at {', '.join(addresses) or 'none'} "
            f"(setting: {self._setting})"
        )

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()
