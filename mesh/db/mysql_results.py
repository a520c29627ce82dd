"""What MySQL answers to a packet of statements, read faster than the driver's own result objects do.

The driver takes each value through several calls, and builds a description of each column that nobody asks for; both
together were a third of what a completion costs in Python. Framing, errors and the end of results stay the driver's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pymysql.connections import TEXT_TYPES, MySQLResult
from pymysql.constants import FIELD_TYPE

from mesh.db.statements import Result, Row

_LONGEST_SHORT: Final = 250
_NULL: Final = 251
_LENGTH_BYTES: Final = {252: 2, 253: 3, 254: 8}
"""A length is one byte, or one of these and so many bytes, least first; `_NULL` is no length."""
_CHARSET_AT, _TYPE_AT = -12, -6
"""From the end of a column's definition: its character set (two bytes) and its type (one)."""
_BINARY: Final = 63
"""The character set of bytes."""

Convert = Callable[[bytes], Any]


def read_results(connection: Any) -> list[Result]:
    """Read what a query of several statements gave. Raises what the driver raises; the rest is not read then."""
    results: list[Result] = []
    while True:
        answer = _Answer(connection)
        answer.read()
        results.append(Result(answer.rows or (), answer.affected_rows or 0))
        if not answer.has_next:
            return results


class _Answer(MySQLResult):
    """The answer to one statement."""

    def _get_descriptions(self) -> None:
        connection: Any = self.connection
        read, decoders = connection._read_packet, connection.decoders
        self._columns = [_convert_of(read().get_all_data(), decoders) for _ in range(self.field_count)]
        assert read().is_eof_packet(), "expected the end of the column definitions"

    def _read_rowdata_packet(self) -> None:
        connection: Any = self.connection
        is_end: Any = getattr(self, "_check_packet_is_eof")  # noqa: B009 - the driver's types leave it out
        read, columns = connection._read_packet, self._columns
        rows: list[Row] = []
        while not is_end(packet := read()):
            rows.append(_row_of(packet.get_all_data(), columns))
        self.affected_rows = len(rows)
        self.rows = rows
        self.connection = None


def _convert_of(definition: bytes, decoders: dict[int, Any]) -> Convert | None:
    """What turns a column's bytes into its value; None for text, which most columns are."""
    kind = definition[_TYPE_AT]
    if kind in TEXT_TYPES and kind != FIELD_TYPE.JSON:
        charset = int.from_bytes(definition[_CHARSET_AT : _CHARSET_AT + 2], "little")
        return bytes if charset == _BINARY else None
    decode = decoders.get(kind)
    if decode is None:
        return None
    if decode in (int, float):
        return decode  # type: ignore[no-any-return]  # both read digits in bytes as well
    return lambda value: decode(value.decode())


def _row_of(data: bytes, columns: list[Convert | None]) -> Row:
    row: list[Any] = []
    add = row.append
    at = 0
    for convert in columns:
        length = data[at]
        at += 1
        if length > _LONGEST_SHORT:
            if length == _NULL:
                add(None)
                continue
            start = at + _LENGTH_BYTES[length]
            length = int.from_bytes(data[at:start], "little")
            at = start
        end = at + length
        value = data[at:end]
        add(value.decode() if convert is None else convert(value))
        at = end
    return tuple(row)
