"""Credentials as clients send them, and the token that they are exchanged for."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.model.policies import API_KEY_HEADER, API_TOKEN_PREFIX

MAX_CREDENTIAL_BYTES: Final = 8192
_DOTS_OF_A_JWT: Final = 2

CHALLENGE: Final = 'Basic realm="flowloom", charset="UTF-8"'
"""How a client is asked for a password."""


class MalformedCredentials(Exception):
    """The header is neither HTTP Basic nor an API token; the text says what was expected, without what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user with a password, an API token, or the token of an outside issuer, from an `address`.

    Secrets do not show in `repr`.
    """

    user_id: str = ""
    password: str = field(default="", repr=False)
    api_token: str = field(default="", repr=False)
    outside_token: str = field(default="", repr=False)
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """A token (a JWT) for one user and the Unix time, in seconds, at which it expires."""

    token: str = field(repr=False)
    user_id: str
    expires_at: float


def read_credentials(headers: Mapping[str, str], address: str = "") -> Credentials:
    """Return what a request's headers (names in lower case) bring; an API key counts before `authorization`.

    Raises:
        MalformedCredentials: if there is nothing that could be exchanged.
    """
    key = headers.get(API_KEY_HEADER, "")
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if len(key) + len(rest) > MAX_CREDENTIAL_BYTES:
        raise MalformedCredentials(f"expected credentials of at most {MAX_CREDENTIAL_BYTES} bytes")
    if key:
        return Credentials(api_token=key, address=address)
    if scheme.lower() == "bearer" and rest.startswith(API_TOKEN_PREFIX):
        return Credentials(api_token=rest.strip(), address=address)
    if scheme.lower() == "bearer" and rest.count(".") == _DOTS_OF_A_JWT:
        return Credentials(outside_token=rest.strip(), address=address)
    if scheme.lower() != "basic":
        raise MalformedCredentials("expected HTTP Basic or an API token")
    try:
        user_id, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise MalformedCredentials("expected Basic credentials in base64 of UTF-8 (RFC 7617)") from None
    if not colon or not user_id:
        raise MalformedCredentials("expected Basic credentials as user:password (RFC 7617)")
    return Credentials(user_id=user_id, password=password, address=address)
