"""Models that are only to be read: each is deployed, or refused with a message that names the line or the element."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from tests.conformance.driver import Driver, Refused
from tests.conformance.isolation import BROKEN, Isolation
from tests.conformance.loading import Corpus

FOLDER: Final = "miwg"
LINE: Final = re.compile(r"\bline \d+")
IDS: Final = re.compile(r"""\bid\s*=\s*["']([^"']+)["']""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What became of a model. Exactly one of: deployed, refused precisely, failed (`failure` says how)."""

    name: str
    deployed: bool = False
    refusal: str = ""
    failure: str = ""


async def read_models(corpus: Corpus, isolation: Isolation) -> list[Reading]:
    """Deploy each model of the folder by itself. Raises MeshNotStarted."""
    readings = []
    for name in corpus.models_of(FOLDER):
        reading, broken = await _read(name, corpus.model(name), await isolation.driver())
        readings.append(reading)
        await (isolation.discard() if broken else isolation.clean())
    return readings


async def _read(name: str, model: bytes, driver: Driver) -> tuple[Reading, bool]:
    expected = "expected it deployed, or refused with INVALID_ARGUMENT and a message that names a line or an element"
    try:
        await driver.deploy({PurePosixPath(name).name: model}, "")
    except Refused as refused:
        message = " ".join(str(refused).split())
        if refused.code == "INVALID_ARGUMENT" and is_precise(refused.message, model):
            return Reading(name=name, refusal=message), False
        return Reading(name=name, failure=f"{expected}, found {message}"), refused.code in BROKEN
    return Reading(name=name, deployed=True), False


def is_precise(message: str, model: bytes) -> bool:
    """Tell whether a refusal names a line, or an id of the model."""
    ids = IDS.findall(model.decode("utf-8", errors="replace"))
    return LINE.search(message) is not None or any(
        re.search(rf"(?<![\w-]){re.escape(each)}(?![\w-])", message) for each in ids
    )
