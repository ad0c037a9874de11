"""`python -m tests.mutants.run [NAME ...]`: the tests must notice every mistake of the catalog.

Red, that is exit 1, when a mutant survives, when one no longer fits the source, or when the tests
fail without any. A NAME is part of a mutant's name.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.arena import Fate, copy_of_the_project, foreign_packages, judge, run_tests
from tests.mutants.catalog import MUTANTS
from tests.mutants.mutant import Mutant

AT_ONCE = 2


def main(names: Sequence[str]) -> int:
    """Exit status of the run."""
    chosen = [m for m in MUTANTS if not names or any(name in m.name for name in names)]
    if not chosen:
        say(f"no mutant has {' or '.join(names)} in its name")
        return 2
    began = time.monotonic()
    if fault := fault_without_mutants(chosen):
        say(fault)
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = []
        for verdict in pool.map(judge, chosen):
            say(f"{verdict.fate.value:12}  {verdict.seconds:3.0f} s  {verdict.mutant.name}")
            verdicts.append(verdict)
    wrong = [verdict for verdict in verdicts if verdict.fate is not Fate.CAUGHT]
    for verdict in wrong:
        say(f"\n{verdict.fate.value}: {verdict.mutant.name}\n{verdict.said}")
    seconds = time.monotonic() - began
    say(f"{len(verdicts) - len(wrong)} of {len(verdicts)} mutants caught in {seconds:.0f} s")
    return 1 if wrong else 0


def fault_without_mutants(chosen: Sequence[Mutant]) -> str | None:
    """Why a failing test would say nothing about a mutant; None where it does."""
    tests = sorted({test for each in chosen for test in each.tests})
    with copy_of_the_project() as copy:
        if foreign := foreign_packages(copy):
            return f"not taken from the copy: {', '.join(foreign)}"
        done = run_tests(copy, tests)
    return None if done.returncode == 0 else f"red without any mutant:\n{done.stdout}{done.stderr}"


def say(text: str) -> None:
    """One line for whoever waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
