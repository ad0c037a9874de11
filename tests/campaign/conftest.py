"""Runs of the campaign several at once, because most of a run's time is waiting."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

import pytest

RUNS_AT_ONCE = 4


@pytest.fixture(scope="session")
def pool() -> Iterator[Executor]:
    """Carries out runs, each in a process that has no threads of pytest's."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(RUNS_AT_ONCE, mp_context=context) as runs:
        yield runs
