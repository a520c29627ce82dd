"""A multipart/form-data body (RFC 7578) to its parts: as the edge passes an upload over REST on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS: Final = 32
MULTIPART: Final = "multipart/form-data"


class MultipartError(Exception):
    """A body of another form; the message says what was expected and what was found."""


@dataclass(slots=True)
class Part:
    """One part: a file if it has a file name (an empty one counts as none)."""

    name: str = ""
    file_name: str = ""
    data: bytearray = field(default_factory=bytearray)
    content_type: str = ""

    @property
    def is_file(self) -> bool:
        return bool(self.file_name)


def is_multipart(content_type: str) -> bool:
    """Tell whether a body says to be in parts."""
    return bool(parse_options_header(content_type.encode(errors="replace"))[0] == MULTIPART.encode())


def parse(body: bytes, content_type: str) -> list[Part]:
    """Return the parts in their order. Raises MultipartError for a body of another form."""
    reader = _PartReader()
    try:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != MULTIPART.encode() or not boundary:
            raise MultipartError(f"expected {MULTIPART} with a boundary, found '{content_type[:100]}'")
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except ValueError as error:  # the parser's errors are of this kind, and so is what cannot be spelled in a header
        raise MultipartError(f"expected a readable multipart body, found: {error}") from error
    if not reader.ended:
        raise MultipartError("expected the multipart body to end with its boundary, found it cut off")
    return reader.parts


class _PartReader:
    """Collects what the parser reports."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._header = bytearray()
        self._value = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_field,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise MultipartError(f"expected at most {MAX_PARTS} parts, found more")
        self.parts.append(Part())

    def _add_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name, value = bytes(self._header).lower(), bytes(self._value)
        self._header, self._value = bytearray(), bytearray()
        part = self.parts[-1]
        if name == b"content-disposition":
            _, options = parse_options_header(value)
            part.name = options.get(b"name", b"").decode(errors="replace")
            part.file_name = options.get(b"filename", b"").decode(errors="replace")
        elif name == b"content-type":
            part.content_type = value.decode(errors="replace")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data += data[start:end]

    def _end(self) -> None:
        self.ended = True
