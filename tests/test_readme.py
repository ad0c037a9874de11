"""Commands and files that README names are there; tests/docs holds what the pages say."""

from __future__ import annotations

import click
import pytest

from hubspot_calls.settings import variable_names
from tests import documents
from tests.documents import anchors_of, links_of, parse, steps_of, words_of

README = documents.README.read_text("utf-8")
COMMANDS = [step.command for step in steps_of(README)]
OURS = [line for line in COMMANDS if "hubspot-calls" in words_of(line)]


def test_readme_shows_commands() -> None:
    assert len(OURS) >= 4


@pytest.mark.parametrize("line", OURS)
def test_a_command_in_readme_exists_with_its_options(line: str) -> None:
    words = words_of(line)
    start = words.index("hubspot-calls")

    variables = [word.partition("=")[0] for word in words[:start]]
    parse(words[start + 1 :])

    assert set(variables) <= set(variable_names())


@pytest.mark.parametrize(
    "line", ["nonsense", "sync --nonsense", "webhooks", "history --status nonsense"]
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        parse(line.split())


def test_links_of_readme_lead_somewhere() -> None:
    dead = []
    for link in links_of(README):
        path, _, anchor = link.partition("#")
        target = documents.ROOT / path
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text("utf-8"))):
            dead.append(link)

    assert dead == []
