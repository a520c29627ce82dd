"""A multipart/form-data body (RFC 7578) with one file and some fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from python_multipart.multipart import MultipartParser, parse_options_header

from mesh.errors import FieldViolation, InvalidArgument

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The file, and the other parts by name."""

    file_name: str
    data: bytes
    fields: dict[str, str]


@dataclass(slots=True)
class _Part:
    headers: dict[str, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)

    def option(self, name: bytes) -> str:
        _, options = parse_options_header(self.headers.get("content-disposition", b""))
        return options.get(name, b"").decode(errors="replace")


def read_upload(body: bytes, content_type: str) -> Upload:
    """Return the one file of a body. Raises InvalidArgument for another number of files or an unreadable body."""
    parts = _parts(body, content_type)
    files = [part for part in parts if part.option(b"filename")]
    if len(files) != 1:
        raise refused(f"expected exactly one file, found {len(files)}")
    fields = {part.option(b"name"): part.data.decode(errors="replace") for part in parts if part not in files}
    return Upload(file_name=files[0].option(b"filename"), data=bytes(files[0].data), fields=fields)


def refused(message: str) -> InvalidArgument:
    """The refusal of an uploaded file."""
    return InvalidArgument("invalid-upload", message, violations=[FieldViolation("file", message)])


def _parts(body: bytes, content_type: str) -> list[_Part]:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise refused(f"expected multipart/form-data with a boundary, found '{content_type[:100]}'")
    reader = _Reader()
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except ValueError as error:  # the parser's errors are of this kind
        raise refused(f"expected a readable multipart body, found: {error}") from error
    if not reader.ended:
        raise refused("expected the multipart body to end with its boundary, found it cut off")
    return reader.parts


class _Reader:
    """Collects what the parser reports."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.ended = False
        self._name = bytearray()
        self._value = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise refused(f"expected at most {MAX_PARTS} parts, found more")
        self.parts.append(_Part())

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self.parts[-1].headers[self._name.decode(errors="replace").lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data += data[start:end]

    def _end(self) -> None:
        self.ended = True
