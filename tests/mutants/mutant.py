"""One deliberate mistake: small changes of source text, and the tests that must notice them.

Pure but for reading and writing the files of the tree it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class MutantDoesNotFit(Exception):
    """The source has changed, so that the mistake can no longer be made in it."""


@dataclass(frozen=True)
class Change:
    """In the file at `path`, the one place where `old` stands becomes `new`."""

    path: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Changes the file below `root`. Raises MutantDoesNotFit unless `old` is there once."""
        path = root / self.path
        source = path.read_text("utf-8") if path.is_file() else ""
        if (count := source.count(self.old)) != 1:
            raise MutantDoesNotFit(f"{self.path} has {count} times, not once: {self.old!r}")
        changed = source.replace(self.old, self.new)
        compile(changed, self.path, "exec")
        path.write_text(changed, "utf-8")


@dataclass(frozen=True)
class Mutant:
    """A mistake with a name; at least one of `tests` (pytest node ids) must fail because of it."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]

    def apply(self, root: Path) -> None:
        """Makes the mistake in the tree below `root`. Raises MutantDoesNotFit."""
        for change in self.changes:
            change.apply(root)


def mutant(name: str, path: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of a single change."""
    return Mutant(name, (Change(path, old, new),), tests)
