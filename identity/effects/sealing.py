"""Encrypts private keys before they go to the database: AES-256-GCM, bound to the key's id."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mesh.errors import FailedPrecondition

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
MARK_BYTES: Final = 4
"""The beginning of a sealed text tells which key sealed it."""


class Sealing:
    """Seals with the first key and opens with any, so that a key can be replaced."""

    def __init__(self, keys: Sequence[str]) -> None:
        """The keys in base64; none: nothing is sealed. Raises ValueError, without the key, for one of another form."""
        self._keys = [_read(number, key) for number, key in enumerate(keys, start=1)]

    @property
    def seals(self) -> bool:
        """Tell whether there is a key to seal with."""
        return bool(self._keys)

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether the first key sealed it."""
        return bool(self._keys) and sealed[:MARK_BYTES] == _mark(self._keys[0])

    def seal(self, plain: bytes, about: str) -> bytes:
        """Encrypt. Raises FailedPrecondition without a key."""
        if not self._keys:
            raise FailedPrecondition("no-encryption-key", "expected an encryption key, found none")
        nonce = secrets.token_bytes(NONCE_BYTES)
        key = self._keys[0]
        return _mark(key) + nonce + AESGCM(key).encrypt(nonce, plain, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes:
        """Decrypt. Raises FailedPrecondition if none of the keys sealed it."""
        mark, nonce = sealed[:MARK_BYTES], sealed[MARK_BYTES : MARK_BYTES + NONCE_BYTES]
        for key in self._keys:
            if _mark(key) != mark:
                continue
            try:
                return AESGCM(key).decrypt(nonce, sealed[MARK_BYTES + NONCE_BYTES :], about.encode())
            except InvalidTag:
                continue
        raise FailedPrecondition(
            "signing-key-sealed",
            f"expected one of the settings' encryption_keys to open signing key {about}, found that none does",
        )


def _read(number: int, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"expected encryption key {number} to be {KEY_BYTES} bytes in base64, found something else")
    return key


def _mark(key: bytes) -> bytes:
    """What the sealed text shows of its key: a few bytes of what only the key encrypts so."""
    return AESGCM(key).encrypt(b"\0" * NONCE_BYTES, b"flowloom", b"mark")[:MARK_BYTES]
