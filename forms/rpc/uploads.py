"""A multipart/form-data body (RFC 7578) with one file and some fields."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import FieldViolation, InvalidArgument
from mesh.multipart import MultipartError, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The file, and the other parts by name."""

    file_name: str
    data: bytes
    fields: dict[str, str]


def read_upload(body: bytes, content_type: str) -> Upload:
    """Return the one file of a body. Raises InvalidArgument for another number of files or an unreadable body."""
    try:
        parts = parse(body, content_type)
    except MultipartError as error:
        raise refused(str(error)) from error
    files = [part for part in parts if part.is_file]
    if len(files) != 1:
        raise refused(f"expected exactly one file, found {len(files)}")
    fields = {part.name: part.data.decode(errors="replace") for part in parts if part not in files}
    return Upload(file_name=files[0].file_name, data=bytes(files[0].data), fields=fields)


def refused(message: str) -> InvalidArgument:
    """The refusal of an uploaded file."""
    return InvalidArgument("invalid-upload", message, violations=[FieldViolation("file", message)])
