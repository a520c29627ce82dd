"""The parts of an uploaded deployment."""

from engine.kernel.errors import invalid
from mesh.multipart import MAX_PARTS, MultipartError, Part
from mesh.multipart import parse as parse_parts

__all__ = ["MAX_PARTS", "Part", "parse"]


def parse(body: bytes, content_type: str) -> list[Part]:
    """Return the parts in their order. Raises Refused (INVALID_ARGUMENT) for a body of another form."""
    try:
        return parse_parts(body, content_type)
    except MultipartError as error:
        raise invalid("not-multipart", str(error)) from error
