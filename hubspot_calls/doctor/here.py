"""Looks at what lies on this machine: settings, data directory, store, keys, stream, sync log.

Makes nothing and changes nothing, and asks nobody outside.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from call_stream.stream import CallStreamReader, StreamCorrupt, StreamError, open_reader
from hubspot_calls.confirmed_position import stream_bookmark
from hubspot_calls.doctor.findings import Finding, age, attention, good, problem
from hubspot_calls.doctor.shared_history import look_at_shared_history
from hubspot_calls.output import count_of
from hubspot_calls.rooms import Store, open_sync_log
from hubspot_calls.settings import READER_NAME, Settings, strangers_in_env_file
from hubspot_calls.sync_state import StateFile
from target_hubspot_calls.addresses import is_loopback
from target_hubspot_calls.errors import CallSyncError, SettingsError, WrongEncryptionKey
from target_hubspot_calls.store.database import is_shared
from target_hubspot_calls.store.figures import load_figures
from target_hubspot_calls.store.ledger_rows import DUE, WAITING
from target_hubspot_calls.store.sealed import check_sealed, holds_sealed
from target_hubspot_calls.store.webhook_auth import WebhookAuth
from target_hubspot_calls.sync_log.log import HistoryFilter, SyncLogBusy

_LOW_DISK_BYTES = 500_000_000
_LATE = timedelta(minutes=5)
_SYNC_LOG_WAIT_S = 2.0
_READ_S = 3.0
_DELIVER = "Run hubspot-calls sync, or keep `hubspot-calls serve` running"
_CORRUPT = (
    "Nothing behind it is delivered until the file is brought back from a backup. Calls that VAPI"
    " still has are read again where VAPI_API_KEY is set."
)

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def look_at_settings(settings: Settings) -> Iterator[Finding]:
    """What may not be meant so; wrong values never come this far."""
    for sentence in strangers_in_env_file():
        yield attention(
            "settings", f"{sentence.partition(';')[0]}.", "Leave it if it is another's."
        )
    if is_loopback(urlsplit(settings.public_url).hostname):
        yield attention(
            "settings",
            f"VAPI cannot reach {settings.public_url}.",
            "Set HUBSPOT_CALLS_PUBLIC_URL to the address of your proxy.",
        )
    elif not settings.public_url.startswith("https:"):
        yield attention(
            "settings",
            f"People and VAPI reach {settings.public_url} without encryption.",
            "Put a proxy with TLS in front of it, and https in HUBSPOT_CALLS_PUBLIC_URL.",
        )
    else:
        yield good("settings", f"The outside reaches the receiver at {settings.public_url}.")


def look_at_data_dir(settings: Settings) -> Iterator[Finding]:
    """The data directory: there, private, writable, with space left."""
    folder = settings.data_dir
    if not folder.exists():
        yield attention(
            "data directory",
            f"{folder} is not there yet.",
            "`hubspot-calls serve` makes it. If it should be there, check HUBSPOT_CALLS_DATA_DIR.",
        )
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield problem(
            "data directory",
            f"{folder} cannot be written by this user.",
            "Run this as the user that runs `serve`, or give it the directory.",
        )
        return
    if mode & 0o077:
        yield attention(
            "data directory",
            f"Others on this machine can look into {folder} (mode {mode:o}).",
            f"chmod 700 {folder}",
        )
    free = shutil.disk_usage(folder).free
    if free < _LOW_DISK_BYTES:
        yield problem(
            "data directory",
            f"Only {free // 1_000_000} MB are free where {folder} lies.",
            "Make room: a full disk refuses calls.",
        )
    else:
        yield good("data directory", f"{folder}, {free / 1e9:,.1f} GB free.")


def look_at_store(store: Store, *, now: Now = utc_now) -> Iterator[Finding]:
    """The ledger's figures: calls in line, calls that wait for a person, rows for the sync log."""
    figures = load_figures(store.engine)
    by_state: dict[str, int] = {}
    for count in figures.calls:
        by_state[count.state] = by_state.get(count.state, 0) + count.count
    total = sum(by_state.values())
    due, waiting = by_state.get(DUE, 0), by_state.get(WAITING, 0)
    said = f"{count_of(total, 'call')} in the store, {due} in line, {waiting} waiting for a person"
    oldest = figures.oldest_open_at
    since = f"; the oldest open one for {age(oldest, now())}" if oldest else ""
    if due and oldest is not None and now() - oldest > _LATE:
        yield attention(
            "store",
            f"{said}{since}.",
            f"{_DELIVER}; hubspot-calls history --status error says why calls are tried again.",
        )
    else:
        yield good("store", f"{said}{since}.")


def look_at_keys(store: Store) -> Iterator[Finding]:
    """Whether all that is stored encrypted opens, and who else can read the key file."""
    settings = store.settings
    if not holds_sealed(store.engine):
        yield good("encryption keys", "Nothing is stored that needs one yet.")
        return
    try:
        check_sealed(store.engine, store.open_vault(create=False))
    except (WrongEncryptionKey, SettingsError) as err:
        yield problem(
            "encryption keys",
            f"What is stored encrypted does not open: {str(err).rstrip('.')}.",
            "Bring back the key file from its backup, or set HUBSPOT_CALLS_ENCRYPTION_KEYS to the"
            " key it was stored with.",
        )
        return
    yield from _key_file(settings)


def _key_file(settings: Settings) -> Iterator[Finding]:
    if settings.encryption_key_list is not None:
        yield good("encryption keys", "All that is stored opens with the keys of the settings.")
        return
    mode = stat.S_IMODE(settings.key_file.stat().st_mode)
    if mode & 0o077:
        yield attention(
            "encryption keys",
            f"Others can read the key file {settings.key_file} (mode {mode:o}).",
            f"chmod 600 {settings.key_file}",
        )
    else:
        yield good(
            "encryption keys",
            f"All that is stored opens with {settings.key_file}; keep a copy of it elsewhere.",
        )


def look_at_stream(settings: Settings, *, now: Now = utc_now) -> Iterator[Finding]:
    """The call stream: readable, and how far the sync has read it."""
    try:
        reader = open_reader(settings.stream_url)
        backlog = reader.load_backlog(READER_NAME)
    except (StreamError, OSError) as err:
        yield problem(
            "call stream",
            f"It cannot be read: {str(err).rstrip('.')}.",
            _CORRUPT
            if isinstance(err, StreamCorrupt)
            else "Check HUBSPOT_CALLS_STREAM_URL and the rights and the space of its directory.",
        )
        return
    # A running sync notes in the stream only now and then what it has finished with.
    if backlog.oldest_at is None or _confirmed(settings) >= backlog.end:
        yield good("call stream", f"Read to its end, position {backlog.end}.")
        return
    try:
        _read_through(settings, reader, backlog.position)
    except (StreamError, OSError) as err:
        yield problem("call stream", f"What is not read yet: {str(err).rstrip('.')}.", _CORRUPT)
        return
    read = f"read up to position {backlog.position}" if backlog.position else "never read so far"
    said = (
        f"{backlog.size_bytes:,} bytes are not read yet, the oldest for"
        f" {age(backlog.oldest_at, now())}; {read}, and it ends at {backlog.end}"
    )
    if now() - backlog.oldest_at > _LATE:
        yield attention("call stream", f"{said}.", f"{_DELIVER}.")
    else:
        yield good("call stream", f"{said}.")


def _confirmed(settings: Settings) -> int:
    """How far this host's sync came in a stream of its own, by the state that it keeps."""
    if not settings.stream_url.startswith("file:"):
        return 0
    try:
        state = StateFile(settings.data_dir).path.read_text("utf-8")
    except (OSError, ValueError):
        return 0
    return stream_bookmark(state) or 0


def _read_through(settings: Settings, reader: CallStreamReader, position: int) -> None:
    """Reads what the sync will read next, for a few seconds at most. Raises StreamError, OSError.

    Another's server is not read through: what it hands out, it answers for.
    """
    if not settings.stream_url.startswith("file:"):
        return
    give_up_at = time.monotonic() + _READ_S
    for _ in reader.read(position):
        if time.monotonic() > give_up_at:
            return


def look_at_sync_log(settings: Settings, store: Store | None) -> Iterator[Finding]:
    """The history: readable, and how many rows wait to be written to it."""
    if store is not None and is_shared(store.engine):
        yield from look_at_shared_history(store)
        return
    waiting = load_figures(store.engine).outbox_rows if store else 0
    wait = f"; {count_of(waiting, 'row')} wait to be written" if waiting else ""
    path = Path(settings.sync_log)
    if not path.exists():
        yield good("sync log", f"{path} is not there yet{wait}.")
        return
    try:
        log = open_sync_log(settings, wait_s=_SYNC_LOG_WAIT_S)
        page = log.page(HistoryFilter(), limit=1)
    except SyncLogBusy as err:
        yield attention(
            "sync log",
            f"{str(err).rstrip('.')}{wait}.",
            "Calls are delivered meanwhile; close the other program to see the history.",
        )
    except CallSyncError as err:
        yield problem("sync log", f"{str(err).rstrip('.')}{wait}.", _mend_sync_log(path))
    else:
        yield good("sync log", f"{path}, {page.total:,} rows{wait}.")


def _mend_sync_log(path: Path) -> str:
    if not os.access(path, os.R_OK | os.W_OK):
        return "Run this as the user that runs `serve`, or give it the file."
    name = shlex.quote(str(path))
    return (
        f"If it is damaged: mv {name} {name}.damaged; a new one is begun, without what was in it."
        " Calls are delivered meanwhile."
    )


def look_at_webhooks(store: Store, *, now: Now = utc_now) -> Iterator[Finding]:
    """The webhooks: there, safe, and when VAPI was heard last."""
    webhooks = [each for each in store.webhooks.list() if each.disabled_at is None]
    if not webhooks:
        yield attention(
            "webhooks", "There is none, so that VAPI has nowhere to report.",
            "hubspot-calls webhooks create",
        )  # fmt: skip
        return
    for each in webhooks:
        if each.auth is WebhookAuth.NONE:
            yield attention(
                "webhooks",
                f"Webhook {each.id} takes calls from anyone who knows its address.",
                "Make another with a secret (hubspot-calls webhooks create), then"
                f" hubspot-calls webhooks disable {each.id}",
            )
        if not each.is_readable:
            yield problem(
                "webhooks",
                f"Webhook {each.id} answers 503: its secret does not open.",
                "Bring back the encryption key, or"
                f" hubspot-calls webhooks rotate {each.id} --keep-old 0",
            )
    counts = store.webhook_counts.of([each.id for each in webhooks])
    heard = [count["stored"].last_at for count in counts.values() if "stored" in count]
    said = f"{count_of(len(webhooks), 'webhook')} in use"
    if heard:
        yield good("webhooks", f"{said}; VAPI's last report came {age(max(heard), now())} ago.")
    else:
        yield attention(
            "webhooks",
            f"{said}; VAPI has not reported yet.",
            "Give VAPI the settings that `webhooks create` printed, and make a test call.",
        )
