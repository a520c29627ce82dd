"""The picture in the body of a request: the image itself, or multipart/form-data (RFC 7578) with one file."""

from __future__ import annotations

from google.api import httpbody_pb2

from identity.app.requests import refused
from identity.model.people import Picture
from mesh.multipart import MultipartError, is_multipart, parse


def read_picture(body: httpbody_pb2.HttpBody) -> Picture:
    """The picture with its content type. Raises InvalidArgument for a body of another form."""
    content_type: str = body.content_type
    if not is_multipart(content_type):
        return Picture(content_type=content_type, data=body.data)
    try:
        files = [part for part in parse(body.data, content_type) if part.is_file]
    except MultipartError as error:
        raise refused("picture", str(error)) from error
    if len(files) != 1:
        raise refused("picture", f"expected exactly one file in the multipart body, found {len(files)}")
    return Picture(content_type=files[0].content_type, data=bytes(files[0].data))
