"""What a command prints: a table or a sentence for people, one JSON document for machines, one line for an error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.markup import escape
from rich.table import Table

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
SizeOption = Annotated[int, typer.Option("--size", min=1, max=1000, help="How many to show.")]

PIPED_WIDTH: Final = 200
"""Columns of a table that goes into a file or a pipe, where there is no terminal to fit into."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, the field of the API's JSON that it shows, and whether long text may break."""

    title: str
    field: str
    wrap: bool = False


def as_json(message: Message) -> dict[str, Any]:
    """Return a message as the API's JSON."""
    return MessageToDict(message)


def print_json(document: object) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], total: int, what: str) -> None:
    """Print rows, and below them how many there are in all."""
    console = _console()
    if rows:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column.title, overflow="fold" if column.wrap else "ellipsis", no_wrap=not column.wrap)
        for row in rows:
            table.add_row(*(escape(_text(row.get(column.field))) for column in columns))
        console.print(table)
    console.print(f"{len(rows)} of {total} {what}" if total > len(rows) else f"{total} {what}", style="dim")


def print_page(message: Message, columns: Sequence[Column], what: str, to_json: bool) -> None:
    """Print one page of a list of the API: its JSON as it is, or its rows as a table."""
    page = as_json(message)
    if to_json:
        print_json({"data": [], **page})
        return
    rows = page.get("data", [])
    print_table(columns, rows, int(page.get("total", len(rows))), what)


def print_done(sentence: str, document: object, to_json: bool) -> None:
    """Print what was done."""
    if to_json:
        print_json(document)
    else:
        typer.echo(sentence)


def complain(reason: str, message: str) -> None:
    """Print an error as one line on the error stream."""
    typer.echo(f"error: {reason}: {' '.join(message.split())}", err=True)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict | list)
        else str(value)
    )
