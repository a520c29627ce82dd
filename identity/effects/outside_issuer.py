"""Verifies tokens of an OIDC issuer: its discovery document, its keys, and the claims that name a user."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx
import jwt

from identity.app.ports import OutsideUser
from identity.app.requests import MAX_TEXT_CHARACTERS
from identity.settings import OutsideIssuerSettings
from mesh.clock import Clock
from mesh.errors import Unauthenticated, Unavailable

_LOGGER: Final = logging.getLogger(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: with a shared secret whoever verifies could also sign."""
MAX_TOKEN_CHARACTERS: Final = 16_384
MAX_DOCUMENT_BYTES: Final = 1024 * 1024
PAUSE_SECONDS: Final = 1.0
"""How long nobody tries again after the issuer could not be reached."""
DISCOVERY: Final = "/.well-known/openid-configuration"


class OidcIssuer:
    """The `OutsideIssuer` of the settings. Keys are fetched when needed and kept for a while."""

    def __init__(
        self, settings: OutsideIssuerSettings, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Nothing is fetched yet. Raises ValueError without an audience: tokens for others would be good here."""
        if not settings.audience:
            raise ValueError("expected outside_audience to be set with outside_url, found it empty")
        self._settings = settings
        self._clock = clock
        self._client = httpx.AsyncClient(
            timeout=settings.timeout_seconds, transport=transport, follow_redirects=False, trust_env=False
        )
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._failed_at: float | None = None
        self._fetching = asyncio.Lock()

    async def verify(self, token: str) -> OutsideUser:
        """Whom the token names. Raises Unauthenticated, or Unavailable if the issuer's keys cannot be had."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise _bad("it is too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise _bad("it is no JWT") from error
        if header.get("alg") not in ALGORITHMS:
            raise _bad("its algorithm is not trusted")
        key = await self._key(str(header.get("kid", "")))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.url,
                options={
                    "require": ["iss", "aud", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            raise _bad(type(error).__name__) from error
        self._check_times(claims)
        return self._user(claims)

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.now().timestamp()
        leeway = self._settings.leeway_seconds
        ends, begins = claims["exp"], claims.get("nbf", 0)
        if not isinstance(ends, int | float) or now >= ends + leeway:
            raise _bad("it has expired")
        if not isinstance(begins, int | float) or begins > now + leeway:
            raise _bad("its time has not come")

    def _user(self, claims: Mapping[str, Any]) -> OutsideUser:
        settings = self._settings
        user_id = claims.get(settings.user_claim)
        if not isinstance(user_id, str) or not user_id:
            raise _bad(f"it has no claim {settings.user_claim}")
        return OutsideUser(
            issuer=settings.url,
            user_id=user_id,
            groups=_texts(claims.get(settings.groups_claim)) if settings.groups_claim else None,
            tenant_id=_text(claims, settings.tenant_claim) if settings.tenant_claim else None,
            first_name=_text(claims, "given_name"),
            last_name=_text(claims, "family_name"),
            display_name=_text(claims, "name"),
            email=_text(claims, "email"),
        )

    async def _key(self, kid: str) -> jwt.PyJWK:
        found = None if self._is_older_than(self._settings.keys_seconds) else self._find(kid)
        if found is None:
            async with self._fetching:
                # Another caller may have fetched them while this one waited; made-up kids must not flood the issuer.
                found = None if self._is_older_than(self._settings.keys_seconds) else self._find(kid)
                if found is None and self._is_older_than(self._settings.refetch_seconds):
                    await self._fetch()
                    found = self._find(kid)
        if found is None:
            raise _bad("its key is not among the issuer's")
        return found

    def _find(self, kid: str) -> jwt.PyJWK | None:
        if not kid and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _is_older_than(self, seconds: float) -> bool:
        return self._fetched_at is None or time.monotonic() - self._fetched_at >= seconds

    async def _fetch(self) -> None:
        if self._failed_at is not None and time.monotonic() - self._failed_at < PAUSE_SECONDS:
            raise self._away("it failed a moment ago")
        try:
            url = self._settings.jwks_url or await self._discovered()
            document = await self._get(url)
            keys = [each for each in document["keys"] if isinstance(each, dict)]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            if self._keys and not self._is_older_than(2 * self._settings.keys_seconds):
                _LOGGER.warning("the outside issuer's keys could not be fetched; the known ones stay: %s", error)
                return
            self._failed_at = time.monotonic()
            raise self._away(type(error).__name__) from error
        self._keys = dict(filter(None, map(_read_key, keys)))
        self._fetched_at = time.monotonic()

    def _away(self, why: str) -> Unavailable:
        return Unavailable("outside-issuer-away", f"expected the keys of {self._settings.url}, found: {why}")

    async def _discovered(self) -> str:
        document = await self._get(self._settings.url.rstrip("/") + DISCOVERY)
        if document.get("issuer") != self._settings.url:
            raise ValueError(f"expected a discovery document of issuer {self._settings.url}, found another one")
        return str(document["jwks_uri"])

    async def _get(self, url: str) -> dict[str, Any]:
        async with self._client.stream("GET", url, headers={"accept": "application/json"}) as response:
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError(f"expected a document of at most {MAX_DOCUMENT_BYTES} bytes, found more")
        found = httpx.Response(200, content=bytes(body)).json()
        if not isinstance(found, dict):
            raise TypeError("expected a JSON object")
        return found


def _read_key(document: dict[str, Any]) -> tuple[str, jwt.PyJWK] | None:
    """A key that can verify; others of the issuer, such as for encryption, are passed over."""
    if document.get("use", "sig") != "sig" or document.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        return str(document.get("kid", "")), jwt.PyJWK(document)
    except jwt.PyJWTError:
        return None


def _text(claims: Mapping[str, Any], name: str) -> str:
    found = claims.get(name)
    return found[:MAX_TEXT_CHARACTERS] if isinstance(found, str) else ""


def _texts(found: object) -> tuple[str, ...]:
    if isinstance(found, str):
        return (found,)
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def _bad(why: str) -> Unauthenticated:
    _LOGGER.info("refused a token of the outside issuer: %s", why)
    return Unauthenticated("bad-credentials", "expected credentials that are good here, found ones that are not")
