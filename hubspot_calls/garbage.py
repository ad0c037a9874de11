"""Keeps Python's garbage collector, and the allocator below, out of the way of a busy server.

Knows memory only, nothing of what is served.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 10_000
_YOUNG_ROUNDS = 20
_OLD_ROUNDS = 50
_BLOCK_BYTES = 8 * 1024 * 1024


def keep_freed_memory() -> None:
    """Lets glibc keep some megabytes of freed memory at hand; elsewhere nothing comes of it.

    It gives them back to the system at once, page by page, and gets them anew for the next bodies:
    with 40 KB each, that is a fifth of all time. But when a block is freed that is larger than any
    before, it takes this for a habit, and keeps twice as much from then on (man 3 mallopt,
    M_MMAP_THRESHOLD). The block itself is never touched, so it costs no memory.
    """
    bytearray(_BLOCK_BYTES)


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
