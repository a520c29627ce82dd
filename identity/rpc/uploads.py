"""The picture in the body of a request: the image itself, or multipart/form-data (RFC 7578) with one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.api import httpbody_pb2
from python_multipart.multipart import MultipartParser, parse_options_header

from identity.app.requests import refused
from identity.model.people import Picture

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS: Final = 16
MULTIPART: Final = "multipart/form-data"


def read_picture(body: httpbody_pb2.HttpBody) -> Picture:
    """The picture with its content type. Raises InvalidArgument for a body of another form."""
    content_type: str = body.content_type
    kind, options = parse_options_header(content_type.encode(errors="replace"))
    if kind != MULTIPART.encode():
        return Picture(content_type=content_type, data=body.data)
    reader = _PartReader()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), reader.callbacks())
        parser.write(body.data)
        parser.finalize()
    except ValueError as error:  # the parser's errors are of this kind
        raise refused("picture", f"expected a readable multipart body, found: {error}") from error
    if not reader.ended:
        raise refused("picture", "expected the multipart body to end with its boundary, found it cut off")
    files = [part for part in reader.parts if part.is_file]
    if len(files) != 1:
        raise refused("picture", f"expected exactly one file in the multipart body, found {len(files)}")
    return Picture(content_type=files[0].content_type, data=bytes(files[0].data))


class _Part:
    """One part; a file if it has a file name."""

    __slots__ = ("content_type", "data", "is_file")

    def __init__(self) -> None:
        self.content_type = ""
        self.data = bytearray()
        self.is_file = False


class _PartReader:
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
            raise refused("picture", f"expected at most {MAX_PARTS} parts, found more")
        self.parts.append(_Part())

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name, value = bytes(self._name).lower(), bytes(self._value)
        self._name, self._value = bytearray(), bytearray()
        if name == b"content-disposition":
            self.parts[-1].is_file = bool(parse_options_header(value)[1].get(b"filename"))
        elif name == b"content-type":
            self.parts[-1].content_type = value.decode(errors="replace")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data += data[start:end]

    def _end(self) -> None:
        self.ended = True
