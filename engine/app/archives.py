"""Archives (.zip, .bar) to files: bounded in number and size, without tricks in their names.

What an archive says of its own sizes is not believed; every file is read with a bound.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from engine.bpmn.xml import ModelLimits
from engine.kernel.errors import RESOURCE_EXHAUSTED, Refused, invalid

SUFFIXES: Final = (".zip", ".bar")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentLimits:
    """Named bounds of one deployment; each can be moved by a setting of the engine."""

    deployment_files: int = 1000
    """Files, after archives were unpacked."""
    deployment_bytes: int = 64 * 1024 * 1024
    """Size of all files together, after archives were unpacked."""
    model: ModelLimits = field(default_factory=ModelLimits)
    """Bounds of each BPMN document among them."""


@dataclass(frozen=True, slots=True)
class File:
    """A named piece of bytes."""

    name: str
    data: bytes


def is_archive(name: str) -> bool:
    """Tell whether a file is unpacked when it is deployed."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: File, limits: DeploymentLimits) -> list[File]:
    """Return the files of an archive in its order; folders are part of the names.

    Raises Refused: INVALID_ARGUMENT for what is no archive, is encrypted or has a name that leads elsewhere;
    RESOURCE_EXHAUSTED beyond a limit.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive.data)) as opened:
            return _files(archive, opened, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise invalid(
            "invalid-archive", f"expected a readable archive, found {archive.name}: {error}", resource=archive.name
        ) from error


def _files(archive: File, opened: zipfile.ZipFile, limits: DeploymentLimits) -> list[File]:
    entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    if len(entries) > limits.deployment_files:
        raise beyond("deployment_files", limits.deployment_files, len(entries))
    found: list[File] = []
    left = limits.deployment_bytes
    for entry in entries:
        name = _safe_name(archive.name, entry.orig_filename)
        if entry.flag_bits & 1:
            raise invalid(
                "invalid-archive", f"expected no encrypted file, found '{name}' in {archive.name}", resource=name
            )
        with opened.open(entry) as stream:
            data = stream.read(left + 1)
        left -= len(data)
        if left < 0:
            raise beyond("deployment_bytes", limits.deployment_bytes, None)
        found.append(File(name, data))
    return found


def _safe_name(archive: str, name: str) -> str:
    path = PurePosixPath(name)
    tricky = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not name.isprintable()
    if tricky or not path.parts:
        raise invalid(
            "invalid-archive", f"expected names inside the archive, found {name!r} in {archive}", resource=archive
        )
    return str(path)


def beyond(limit: str, most: int, found: int | None) -> Refused:
    """The refusal for a deployment that exceeds a limit."""
    said = "more" if found is None else str(found)
    return Refused(
        RESOURCE_EXHAUSTED,
        "deployment-too-large",
        f"expected at most {most}, found {said} (limit: {limit})",
        limit=limit,
    )
