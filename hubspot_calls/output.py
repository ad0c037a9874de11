"""How the command speaks: data on stdout, notices on stderr, one JSON document when asked.

Knows terminals and widths; it must not know what the rows mean.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDE = 120
_PIPED_WIDTH = 10_000
_FOLDED_WIDTH = 16


@dataclass(frozen=True)
class Column:
    """A table's column; a `fold` one wraps, the others are kept whole while there is room."""

    title: str
    fold: bool = False
    style: str = ""
    justify: Literal["left", "right"] = "left"


def to_json(document: object) -> str:
    """The document as indented JSON; datetimes as ISO 8601 with a Z."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=_to_plain)


def print_json(document: object) -> None:
    """Write the one document that `--json` promises to stdout."""
    click.echo(to_json(document))


def say(text: str) -> None:
    """Write a notice for people to stderr, so that stdout holds data only."""
    click.echo(text, err=True)


def stdout_console() -> Console:
    """A console for tables: as wide as the terminal, or as wide as the rows when piped."""
    # Imported where something is shown: it takes longer than all the rest of a quick command.
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, color_system=None, width=_PIPED_WIDTH)


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], *, stacks: bool = False
) -> None:
    """Print rows under their titles; without colour or padding when piped.

    With `stacks` a terminal that is too narrow for them gets each row as lines, so that nothing of
    an id is cut off.
    """
    from rich.table import Table

    console = stdout_console()
    cells = [[_to_cell(value) for value in row] for row in rows]
    if stacks and console.is_terminal and _width_of(columns, cells) > console.width:
        _print_stacked(console, columns, cells)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            style=column.style,
            justify=column.justify,
            no_wrap=not column.fold,
            overflow="fold" if column.fold else "ellipsis",
        )
    for row in cells:
        table.add_row(*row)
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def is_wide() -> bool:
    """True if a table may spend columns freely: a broad terminal, or a pipe."""
    return not sys.stdout.isatty() or stdout_console().width >= WIDE


def is_terminal() -> bool:
    """True if people see what is printed as it is, and false for a pipe or a file."""
    return sys.stdout.isatty()


def to_utc_time(moment: datetime | None) -> str:
    """The moment in UTC, to the second; a dash for none. The column's title says UTC."""
    if moment is None:
        return "-"
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def count_of(count: int, noun: str) -> str:
    """The count with its noun: 1 call, 2 calls, 1,200 calls."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def print_indented(console: Console, text: Text, indent: int) -> None:
    """Print a text, each of its lines so far from the edge and without blanks at its end."""
    from rich.text import Text

    for line in text.wrap(console, max(console.width - indent, 1)):
        line.rstrip()
        console.print(Text.assemble(" " * indent, line), soft_wrap=True)


def _width_of(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> int:
    """The least width that cuts no cell; one that folds may become as narrow as a word."""
    width = 0
    for i, column in enumerate(columns):
        cells = max((row[i].cell_len for row in rows), default=0)
        width += max(len(column.title), min(cells, _FOLDED_WIDTH) if column.fold else cells)
    return width + 2 * (len(columns) - 1)


def _print_stacked(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text]]
) -> None:
    from rich.text import Text

    width = max(len(column.title) for column in columns)
    for number, row in enumerate(rows):
        if number:
            console.print()
        for column, cell in zip(columns, row, strict=True):
            title = Text(f"{column.title:<{width}}  ", "bold")
            console.print(Text.assemble(title, cell), soft_wrap=True)


def _to_cell(value: object) -> Text:
    from rich.text import Text

    if value is None or value == "":
        return Text("-")
    if isinstance(value, Text):
        return value
    return Text(to_utc_time(value) if isinstance(value, datetime) else str(value))


def _to_plain(value: Any) -> object:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, set | tuple):
        return list(value)
    return str(value)
