"""Looks at who works on a shared stream and store: how many deliver, and which process reads.

Asks the store alone; makes and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubspot_calls.doctor.findings import Finding, attention, good
from hubspot_calls.output import count_of
from hubspot_calls.rooms import Store
from hubspot_calls.settings import Settings
from hubspot_calls.shared_stream import is_shared, name_of, office_of, place_of
from target_hubspot_calls.store.database import is_shared as is_for_many_hosts
from target_hubspot_calls.store.shared_work import load_shared_work

_START = "Start `hubspot-calls work`, or `hubspot-calls serve` without --no-sync, on some host."


def look_at_workers(settings: Settings, store: Store) -> Iterator[Finding]:
    """Who delivers and who reads, where several hosts may; nothing where there is one."""
    shared = is_shared(settings.stream_url)
    if not shared and not is_for_many_hosts(store.engine):
        return
    office = office_of(name_of(settings.stream_url)) if shared else ""
    found = load_shared_work(store.engine, office)
    if shared and not is_for_many_hosts(store.engine):
        yield attention(
            "workers",
            "The stream is one for several hosts, and the store is a file of this machine.",
            "Set HUBSPOT_CALLS_DATABASE_URL to postgresql://..., the same on every host.",
        )
    if found.runs is not None:
        if found.runs:
            yield good("workers", f"{count_of(found.runs, 'worker')} of all hosts deliver now.")
        else:
            yield attention("workers", "No worker delivers now.", _START)
    if not shared:
        return
    if found.holder is None:
        yield attention("workers", "No process reads the shared stream now.", _START)
    else:
        yield good("workers", f"{place_of(found.holder)} reads the shared stream.")
