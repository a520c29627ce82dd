"""Archive files: Parquet, compressed with Zstandard, on a path or in S3-compatible storage.

One row of the file is one row of a table: `table`, `root_id`, `instance_id`, `id`, and all its columns as JSON in `row`
(bytes as {"base64": ...}). Rows of a root lie together, so that a reader of one root reads few row groups.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from history.app.archiving import Trees
from history.model.archive import Cell, StoredRow, WrittenFile
from history.settings import ArchiveSettings
from mesh.errors import NotFound, Unavailable

T = TypeVar("T")
_LOGGER: Final = logging.getLogger(__name__)
ROW_GROUP_ROWS: Final = 2_000
"""Rows that are read at least for one root."""
MAX_LISTED_FILES: Final = 100_000
_SCHEMA: Final = pa.schema(
    [
        ("table", pa.dictionary(pa.int32(), pa.string())),
        ("root_id", pa.string()),
        ("instance_id", pa.string()),
        ("id", pa.string()),
        ("row", pa.string()),
    ]
)
_json: Final = msgspec.json.Encoder()


class ParquetFiles:
    """The `ArchiveFiles` below a URL."""

    def __init__(self, settings: ArchiveSettings) -> None:
        """Nothing is opened yet. Raises ValueError for a URL of another kind."""
        self._settings = settings
        self._parts = urlsplit(settings.url)
        if self._parts.scheme not in ("", "file", "s3"):
            raise ValueError(f"expected an archive at a path, file:// or s3://, found {self._parts.scheme}://")
        self._open: tuple[Any, str] | None = None

    async def write(self, name: str, trees: Trees) -> WrittenFile:
        """Write a file, read it back and compare; it appears whole or not at all. Raises Unavailable."""
        return await self._in_thread(lambda: self._write(name, trees))

    async def read(self, name: str, root_id: str | None = None) -> Sequence[StoredRow]:
        """The rows of a root, or all. Raises NotFound, Unavailable."""
        return await self._in_thread(lambda: self._read(name, root_id))

    async def names(self, older_than_seconds: float) -> Sequence[str]:
        """The files that were last written longer ago than that. Raises Unavailable."""
        return await self._in_thread(lambda: self._names(older_than_seconds))

    async def delete(self, name: str) -> None:
        """Delete a file; does nothing if it is gone. Raises Unavailable."""

        def run() -> None:
            system, base = self._system()
            try:
                system.delete_file(f"{base}/{name}")
            except FileNotFoundError:
                _LOGGER.info("the archive file %s was gone already", name)

        await self._in_thread(run)

    def _write(self, name: str, trees: Trees) -> WrittenFile:
        system, base = self._system()
        rows = [row for root_id in sorted(trees) for row in trees[root_id]]
        content = _encode(rows)
        # S3 shows an object when it is whole; a path needs another name until then.
        temporary = f"{base}/{name}.part" if self._is_local else f"{base}/{name}"
        with system.open_output_stream(temporary) as stream:
            stream.write(content)
        if self._is_local:
            _sync(Path(temporary))
            system.move(temporary, f"{base}/{name}")
            _sync(Path(base))
        with system.open_input_stream(f"{base}/{name}") as stream:
            found = stream.read()
        digest = hashlib.sha256(content).hexdigest()
        if hashlib.sha256(found).hexdigest() != digest or _decode(found, None) != rows:
            raise Unavailable("archive-damaged", f"expected the archive file {name} as written, found another one")
        return WrittenFile(name=name, sha256=digest, records=len(rows), bytes=len(content))

    def _read(self, name: str, root_id: str | None) -> Sequence[StoredRow]:
        system, base = self._system()
        try:
            with system.open_input_file(f"{base}/{name}") as source:
                return _decode(source, root_id)
        except FileNotFoundError as error:
            raise NotFound("archive-file-not-found", f"expected the archive file {name}, found none") from error

    def _names(self, older_than_seconds: float) -> Sequence[str]:
        system, base = self._system()
        found = system.get_file_info(pafs.FileSelector(base, allow_not_found=True))
        if len(found) > MAX_LISTED_FILES:
            raise Unavailable(
                "archive-too-many-files", f"expected at most {MAX_LISTED_FILES} files, found {len(found)}"
            )
        now = datetime.now(UTC).timestamp()  # noqa: TID251 - compared with the storage's own clock
        return [
            info.base_name
            for info in found
            if info.is_file and info.mtime is not None and now - info.mtime.timestamp() >= older_than_seconds
        ]

    @property
    def _is_local(self) -> bool:
        return self._parts.scheme != "s3"

    def _system(self) -> tuple[Any, str]:
        """The file system and the folder in it, without a slash at the end."""
        if self._open is None:
            if self._is_local:
                base = unquote(self._parts.path).rstrip("/") or "."
                system: Any = pafs.LocalFileSystem()
                system.create_dir(base, recursive=True)
            else:
                base = f"{self._parts.netloc}/{unquote(self._parts.path).strip('/')}".rstrip("/")
                system = self._s3()
            self._open = (system, base)
        return self._open

    def _s3(self) -> Any:
        settings = self._settings
        options: dict[str, Any] = {
            "request_timeout": settings.timeout_seconds,
            "connect_timeout": settings.timeout_seconds,
        }
        if settings.s3_access_key:
            options |= {"access_key": settings.s3_access_key, "secret_key": settings.s3_secret_key}
        if settings.s3_region:
            options["region"] = settings.s3_region
        if settings.s3_endpoint_url:
            endpoint = urlsplit(settings.s3_endpoint_url)
            options |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
        return pafs.S3FileSystem(**options)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (OSError, pa.ArrowException) as error:
            raise Unavailable("archive-away", f"expected the archive's storage to answer, found: {error}") from error


def _encode(rows: Sequence[StoredRow]) -> bytes:
    table = pa.table(
        [
            pa.array([row.table for row in rows]).dictionary_encode(),
            pa.array([row.root_id for row in rows], pa.string()),
            pa.array([row.instance_id for row in rows], pa.string()),
            pa.array([str(row.values.get("id") or row.values.get("owner_id")) for row in rows], pa.string()),
            pa.array([_json.encode(_plain(row.values)).decode() for row in rows], pa.string()),
        ],
        schema=_SCHEMA,
    )
    target = BytesIO()
    pq.write_table(table, target, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    return target.getvalue()


def _decode(source: Any, root_id: str | None) -> list[StoredRow]:
    """Read rows; of one root, only the row groups whose statistics say that they may hold it."""
    file = pq.ParquetFile(BytesIO(source) if isinstance(source, bytes) else source)
    found: list[StoredRow] = []
    for group in range(file.num_row_groups):
        if root_id is not None:
            statistics = file.metadata.row_group(group).column(1).statistics
            if statistics is not None and statistics.has_min_max and not statistics.min <= root_id <= statistics.max:
                continue
        for table, root, instance_id, row in zip(
            *(file.read_row_group(group, columns=[name]).column(0).to_pylist() for name in _READ), strict=True
        ):
            if root_id is None or root == root_id:
                values = {name: _cell(value) for name, value in msgspec.json.decode(row).items()}
                found.append(StoredRow(table=table, root_id=root, instance_id=instance_id, values=values))
    return found


_READ: Final = ("table", "root_id", "instance_id", "row")


def _plain(values: dict[str, Cell]) -> dict[str, Any]:
    return {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def _cell(value: Any) -> Cell:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    found: Cell = value
    return found


def _sync(path: Path) -> None:
    """Make a file or the entries of a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
