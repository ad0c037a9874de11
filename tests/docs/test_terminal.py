"""A page that is wrong would be noticed: by its commands, by what they print, by what they need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.terminal import Terminal, WrongPage, says
from tests.documents import Step, anchors_of, links_of, section_of, steps_of

PAGE = """\
# A page

See [another](other.md#what-it-says) and ![a picture](picture.png).

1. In a list:

   ```console
   $ one \\
       --more
   printed
   $ two
   ```

```sh
not run
```

## What it says: all, of it

Words.
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with Terminal(tmp_path) as terminal:
        yield terminal


def test_the_steps_of_a_page_are_its_console_commands() -> None:
    assert steps_of(PAGE) == [Step("one \\\n    --more", "printed", 8), Step("two", "", 11)]


def test_links_anchors_and_sections_of_a_page_are_found() -> None:
    assert links_of(PAGE) == ["other.md#what-it-says", "picture.png"]
    assert anchors_of(PAGE) == {"a-page", "what-it-says-all-of-it"}
    assert section_of(PAGE, "What it says: all, of it") == "\nWords.\n"


def test_a_command_that_fails_is_noticed(terminal: Terminal) -> None:
    with pytest.raises(WrongPage, match="failed"):
        terminal.follow(Step("false", "", 1))


def test_a_command_of_ours_that_fails_is_noticed(terminal: Terminal) -> None:
    with pytest.raises(WrongPage, match="nonsense"):
        terminal.follow(Step("hubspot-calls nonsense", "", 1))


def test_a_command_that_prints_something_else_is_noticed(terminal: Terminal) -> None:
    with pytest.raises(WrongPage, match="must print"):
        terminal.follow(Step("echo good evening", "good morning", 1))


def test_what_a_command_printed_stands_in_a_later_one(terminal: Terminal) -> None:
    terminal.follow(Step("printf 'webhook id  w-1\\nsecret      s-1\\n'", "secret ...", 1))

    terminal.follow(Step("SECRET='<secret>'", "", 2))

    assert terminal.follow(Step('echo "<webhook id> $SECRET"', "w-1 s-1", 3)) == "w-1 s-1\n"


def test_what_nobody_printed_is_noticed(terminal: Terminal) -> None:
    with pytest.raises(WrongPage, match="no command before"):
        terminal.follow(Step("echo <secret>", "", 1))


@pytest.mark.parametrize(
    ("printed", "expected", "holds"),
    [
        ("a  b\nc", "a b c", True),
        ("a b c", "a c", False),
        ("a b c", "a ... c", True),
        ("a c", "a ... c", True),
        ("id  7", "id  ...", True),
        ("first\nx.y\nlast", "x.y ...", True),
        ("xzy", "x.y", False),
        ("c b", "b ... c", False),
    ],
)
def test_dots_stand_for_anything(printed: str, expected: str, holds: bool) -> None:
    assert says(printed, expected) is holds
