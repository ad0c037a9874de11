"""Keeps Python's garbage collector out of the way of a process that serves many small requests."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 10_000
_YOUNG_ROUNDS = 20
_OLD_ROUNDS = 50


@contextmanager
def calm_collector() -> Iterator[None]:
    """Sets aside all that is loaded by now, and lets young objects grow to more before a look.

    Otherwise each few requests pay for a look at them, and now and then one for a walk through
    everything that was ever imported, which takes a fifth of the time and tens of milliseconds.
    At the end all is as it was: DuckDB complains on stderr of what is never collected.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_ROUNDS, _OLD_ROUNDS)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
