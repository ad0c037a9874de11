"""Reads our Markdown pages: their blocks of commands, their tables, links and headings.

Knows Markdown as we write it, and how a command line is parsed; it must not run anything.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import click

from hubspot_calls.cli import cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: what it holds, and on which line of its page it begins."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Step:
    """A command that a page shows, and what the page says it prints; empty if it says nothing."""

    command: str
    printed: str
    line: int


def blocks_of(text: str) -> Iterator[Block]:
    """Every fenced block of a page, without the indent it has in a list."""
    for found in _FENCE.finditer(text):
        indent, language, body = found.groups()
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        line = text.count("\n", 0, found.start()) + 1
        yield Block(language, "\n".join(lines), line)


def steps_of(text: str) -> list[Step]:
    """The commands of the `console` blocks in order; one goes on behind a backslash."""
    steps: list[Step] = []
    for block in blocks_of(text):
        if block.language != "console":
            continue
        command: list[str] = []
        printed: list[str] = []
        begun = block.line
        for number, line in enumerate(block.text.splitlines(), start=block.line + 1):
            if line.startswith("$ "):
                if command:
                    steps.append(Step("\n".join(command), "\n".join(printed), begun))
                command, printed, begun = [line.removeprefix("$ ")], [], number
            elif command and command[-1].endswith("\\") and not printed:
                command.append(line)
            else:
                printed.append(line)
        if command:
            steps.append(Step("\n".join(command), "\n".join(printed), begun))
    return steps


def prose_of(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


def links_of(text: str) -> list[str]:
    """Where a page's links and pictures lead, as written."""
    return _LINK.findall(prose_of(text))


def anchors_of(text: str) -> set[str]:
    """The headings of a page as addresses name them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the one table under a heading of the second rank, without its head."""
    section = text.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def codes_in(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def mentions_in(text: str) -> list[str]:
    """Commands of ours named in a sentence; `COMMAND` and `REASON` stand for any."""
    named = re.findall(r"`(hubspot-calls [^`]+)`", prose_of(text))
    return [mention for mention in named if not {"COMMAND", "REASON"} & {*mention.split()}]


def words_of(line: str) -> list[str]:
    """The words of a command up to where a shell would hand it over."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(takewhile(lambda word: word not in {"<", ">", "|", "&&", ";"}, lexer))


def parse(words: list[str]) -> None:
    """Reads a command line as `hubspot-calls` would, without running it. Raises UsageError."""
    command: click.Command = cli
    context = click.Context(cli, info_name="hubspot-calls")
    while isinstance(command, click.Group):
        assert words, f"{context.command_path} needs a subcommand"
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"{context.command_path} has no subcommand {name}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    command.make_context(context.info_name, words, parent=context.parent)


def section_of(text: str, heading: str) -> str:
    """What stands under a heading of the second rank. Raises ValueError where there is none."""
    _, found, rest = text.partition(f"\n## {heading}\n")
    if not found:
        raise ValueError(f"there is no heading {heading!r}")
    return rest.partition("\n## ")[0]
