"""A call stream that several hosts share: what its readers agree on, kept in their store.

Knows which streams are shared, the office of the reader and the state; it must not know what a
reader does.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uuid_utils

from call_stream.jetstream_url import SCHEMES, parse_jetstream_url
from hubspot_calls.reader_office import OfficeElections, ReaderOffice
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings
from hubspot_calls.sync_state import SharedState


@dataclass(frozen=True)
class SharedStream:
    """One shared stream as one process sees it, which stands for the office as `holder`."""

    name: str
    holder: str
    elections: OfficeElections
    state: SharedState
    is_dead: Callable[[str], bool]

    def office(self) -> ReaderOffice:
        """The office of its reader, not yet stood for."""
        return ReaderOffice(self.elections, office_of(self.name), self.holder, is_dead=self.is_dead)


def is_shared(stream_url: str) -> bool:
    """Whether the stream is one for many hosts, rather than this host's own."""
    return stream_url.partition(":")[0].lower() in SCHEMES


def name_of(stream_url: str) -> str:
    """The name of a shared stream, whichever of its servers the URL names.

    Raises UnsupportedStreamUrl.
    """
    return parse_jetstream_url(stream_url).stream


def office_of(stream_name: str) -> str:
    """The name of the office of a stream's reader."""
    return f"reader:{stream_name}"


def place_of(holder: str) -> str:
    """Where a holder of an office runs, as people are told it."""
    return holder.partition("/")[2] or "another process"


@contextmanager
def open_shared_stream(settings: Settings) -> Iterator[SharedStream]:
    """What is agreed on the stream of these settings, with the store open meanwhile.

    Raises StoreUnavailable, DataDirUnusable.
    """
    from target_hubspot_calls.delivery.presence import FilePresence
    from target_hubspot_calls.store.elections import Elections
    from target_hubspot_calls.store.sync_states import SyncStates

    name = name_of(settings.stream_url)
    run_id = str(uuid_utils.uuid7())
    # The first part is what `FilePresence` knows the process by, the second what people do.
    holder = f"{run_id}/{socket.gethostname()} (process {os.getpid()})"
    with open_store(settings) as store:
        presence = FilePresence(settings.data_dir, run_id)
        presence.enter()
        try:
            yield SharedStream(
                name=name,
                holder=holder,
                elections=Elections(store.engine),
                state=SharedState(
                    SyncStates(store.engine), name, office=office_of(name), holder=holder
                ),
                is_dead=presence.is_dead,
            )
        finally:
            presence.leave()
