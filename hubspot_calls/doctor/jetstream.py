"""Looks at the servers of a call stream on JetStream: could they lose what they acknowledged.

Asks those servers alone and changes nothing; facts are theirs, what they mean is said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from call_stream.jetstream_url import SCHEMES, parse_jetstream_url
from call_stream.stream import StreamError
from hubspot_calls.doctor.findings import Finding, attention, good
from hubspot_calls.output import count_of
from hubspot_calls.settings import Settings
from target_hubspot_calls.addresses import is_loopback

if TYPE_CHECKING:
    from call_stream.jetstream_standing import JetStreamStanding, ServerStanding

CHECK = "call stream servers"

# Up to 2.10.22 a crash of the process could lose a whole stream (Jepsen, 2025-12: NATS 2.12.1).
_SAFE_RELEASE = (2, 10, 23)
_SETTABLE_RELEASE = (2, 10)
# A publish is repeated for 15 s; twice that leaves room for a slow server.
_SHORT_WINDOW_S = 30.0


def look_at_jetstream(settings: Settings) -> Iterator[Finding]:
    """What an acknowledged call could be lost by; nothing where the stream is in files."""
    if settings.stream_url.partition(":")[0].lower() not in SCHEMES:
        return
    try:
        from call_stream.jetstream_standing import inspect_jetstream

        standing = inspect_jetstream(
            settings.stream_url, retention_days=settings.stream_retention_days
        )
    except (StreamError, ModuleNotFoundError):
        return  # whoever looks at the stream itself has said so
    yield from findings_of(standing)
    url = parse_jetstream_url(settings.stream_url)
    outside = [host for host, _ in url.servers if not is_loopback(host)]
    if outside and not url.tls:
        yield attention(
            CHECK,
            f"Calls{' and the secret' if url.has_secret else ''} travel to {outside[0]} without"
            " encryption.",
            "Set up TLS on the servers and begin HUBSPOT_CALLS_STREAM_URL with tls://, unless the"
            " network between is your own.",
        )


def findings_of(standing: JetStreamStanding) -> Iterator[Finding]:
    """What the answers of the servers mean for calls."""
    answering = [each for each in standing.servers if each.version is not None]
    known = ", ".join(sorted({str(each.version) for each in answering}))
    if standing.exists:
        copies = "one copy" if standing.replicas == 1 else f"{standing.replicas} copies"
        yield good(
            CHECK,
            f"Stream {standing.stream}, {copies}, on {count_of(len(answering), 'server')} of"
            f" version {known}.",
        )
        yield from _of_copies(standing)
        yield from _of_settings(standing)
    else:
        yield good(
            CHECK,
            f"{count_of(len(answering), 'server')} of version {known}; the stream"
            f" {standing.stream} is made when the first receiver starts.",
        )
    yield from _of_servers(standing.servers)


def _of_copies(standing: JetStreamStanding) -> Iterator[Finding]:
    if standing.replicas == 1:
        yield attention(
            CHECK,
            "The stream has a single copy: calls that are not delivered yet are lost with the"
            " server's disk, and none are taken while it is down.",
            "Run three servers, add ?replicas=3 to HUBSPOT_CALLS_STREAM_URL, and"
            f" `nats stream edit {standing.stream} --replicas 3` for the stream that is there.",
        )
    elif standing.replicas % 2 == 0:
        yield attention(
            CHECK,
            f"{standing.replicas} copies survive no more failures than"
            f" {standing.replicas - 1} would: most must be up.",
            "Use an odd number of replicas, such as 3.",
        )
    if standing.current_replicas < standing.replicas:
        yield attention(
            CHECK,
            f"Only {standing.current_replicas} of {standing.replicas} copies are complete now.",
            "Look after the servers that are down or behind; calls are refused once most are.",
        )
    if not standing.is_on_disk:
        yield attention(
            CHECK,
            "The stream is kept in memory: acknowledged calls are lost when servers restart.",
            "Make the stream anew with file storage, once it is read to its end.",
        )


def _of_settings(standing: JetStreamStanding) -> Iterator[Finding]:
    if standing.drops_oldest:
        yield attention(
            CHECK,
            "The stream, when full, drops its oldest calls, read or not.",
            f"nats stream edit {standing.stream} --discard new",
        )
    if standing.duplicate_window_s < _SHORT_WINDOW_S:
        yield attention(
            CHECK,
            f"The stream knows a repeated call for {standing.duplicate_window_s:g} s only, so that"
            " one whose acknowledgement got lost may be stored twice.",
            f"nats stream edit {standing.stream} --dupe-window 2m",
        )
    if standing.differences:
        yield attention(
            CHECK,
            "The stream is used as it was made, which is not as the settings say:"
            f" {'; '.join(standing.differences)}.",
            f"`nats stream edit {standing.stream}`, or change HUBSPOT_CALLS_STREAM_URL and"
            " HUBSPOT_CALLS_STREAM_RETENTION_DAYS to what is meant.",
        )


def _of_servers(servers: Iterable[ServerStanding]) -> Iterator[Finding]:
    answering = [each for each in servers if each.version is not None]
    if silent := [each for each in servers if each.version is None]:
        yield attention(CHECK, f"{_named(silent)}: no answer.", "Look after it, or its address.")
    if old := [each for each in answering if each.release < _SAFE_RELEASE]:
        yield attention(
            CHECK,
            f"{_named(old)}: before version 2.10.23 a crash can lose a whole stream.",
            "Update the servers, one at a time.",
        )
    flushing = [each for each in answering if each.release >= _SETTABLE_RELEASE]
    if late := [each for each in flushing if each.flush_every_s]:
        yield attention(
            CHECK,
            f"{_named(late)}: flushed to disk every {late[0].flush_every_s:g} s, not before each"
            " acknowledgement. A power cut of most servers at once loses acknowledged calls.",
            "Set `sync_interval: always` in the block jetstream of each server.",
        )
    unknown = [each for each in flushing if each.flush_every_s is None]
    if unknown:
        yield attention(
            CHECK,
            f"{_named(unknown)}: not known whether it flushes to disk before it acknowledges; its"
            " monitoring port does not tell.",
            "Check that the block jetstream of its configuration says `sync_interval: always`; the"
            " default is every 2 minutes. Add ?monitoring=PORT to HUBSPOT_CALLS_STREAM_URL if"
            " http_port is not 8222.",
        )
    if flushing and not late and not unknown:
        yield good(CHECK, "Every server flushes to disk before it acknowledges.")
    if settable := [each for each in answering if each.release < _SETTABLE_RELEASE]:
        yield attention(
            CHECK,
            f"{_named(settable)}: flushes to disk every 2 minutes, and this version cannot be told"
            " otherwise. A power cut of most servers at once loses acknowledged calls. And a stream"
            " that is made anew there has the old positions again, so that an old bookmark may"
            " pass over new calls.",
            "Update to 2.10.23 or later, and set `sync_interval: always`.",
        )


def _named(servers: Iterable[ServerStanding]) -> str:
    return ", ".join(
        each.address + (f" ({each.version})" if each.version else "") for each in servers
    )
