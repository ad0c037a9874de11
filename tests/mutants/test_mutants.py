"""The catalog fits the source, and a run of it tells who was caught; the whole run is apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.arena import ROOT, Fate, copy_of_the_project, foreign_packages, judge
from tests.mutants.catalog import MUTANTS
from tests.mutants.mutant import Change, MutantDoesNotFit, mutant

SOURCE = "def total(a: int, b: int) -> int:\n    return a + b\n"
TESTS = """
from call_stream.sums import total

def test_a_total():
    assert total(2, 3) == 5
"""


@pytest.fixture
def a_project(tmp_path: Path) -> Path:
    """A project of one function and its test."""
    for path, text in (
        ("call_stream/__init__.py", ""),
        ("call_stream/sums.py", SOURCE),
        ("tests/test_sums.py", TESTS),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_every_mutant_fits_the_source_as_it_is(tmp_path: Path) -> None:
    unfit = []
    for number, each in enumerate(MUTANTS):
        tree = tmp_path / str(number)
        for change in each.changes:
            copy = tree / change.path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / change.path).read_bytes())
        try:
            each.apply(tree)
        except MutantDoesNotFit as err:
            unfit.append(f"{each.name}: {err}")

    assert unfit == []


def test_mutants_have_names_of_their_own_and_tests_that_exist() -> None:
    assert len({each.name for each in MUTANTS}) == len(MUTANTS)
    for each in MUTANTS:
        assert each.tests
        for test in each.tests:
            path, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}" in (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize("old", ["nowhere in the file", "def "], ids=["gone", "many times"])
def test_a_change_that_does_not_fit_is_refused_loudly(old: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def a(): ...\ndef b(): ...\n")

    with pytest.raises(MutantDoesNotFit):
        Change("a.py", old, "x").apply(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "test", "fate"),
    [
        ("a + b", "a - b", "tests/test_sums.py::test_a_total", Fate.CAUGHT),
        ("a + b", "b + a", "tests/test_sums.py::test_a_total", Fate.SURVIVED),
        ("a + b", "b + a", "tests/no_such_file.py", Fate.BROKEN),
        ("a * b", "b + a", "tests/test_sums.py::test_a_total", Fate.DOES_NOT_FIT),
    ],
    ids=lambda value: value.name if isinstance(value, Fate) else "",
)
def test_what_became_of_a_mutant_is_told(
    old: str, new: str, test: str, fate: Fate, a_project: Path
) -> None:
    verdict = judge(mutant("m", "call_stream/sums.py", old, new, test), a_project)

    assert verdict.fate is fate


def test_the_copy_is_what_python_imports_in_it() -> None:
    with copy_of_the_project() as copy:
        assert foreign_packages(copy) == []
