"""What is done about memory before serving, each time in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_CHURN = """
import gc, resource
from hubspot_calls.garbage import calm_collector, keep_freed_memory

def faults_of_many_bodies():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        bodies = [b"x" * 40_000 for _ in range(100)]
        del bodies
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def size():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

size_before = size()
keep_freed_memory()
grown_kb = size() - size_before
faults_of_many_bodies()
print(grown_kb, faults_of_many_bodies())

thresholds = gc.get_threshold()
with calm_collector():
    print(gc.get_freeze_count() > 0, gc.get_threshold() > thresholds)
print(gc.get_freeze_count(), gc.get_threshold() == thresholds)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other habits")
def test_memory_for_bodies_is_not_given_back_and_fetched_anew_all_the_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHURN], capture_output=True, text=True, check=True
    )

    memory, while_calm, after = done.stdout.splitlines()
    grown_kb, faults = map(int, memory.split())
    assert grown_kb < 1024
    assert faults < 1000
    assert (while_calm, after) == ("True True", "0 True")
