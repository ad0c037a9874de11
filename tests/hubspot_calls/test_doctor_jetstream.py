"""What `doctor` says of the servers of a call stream on JetStream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from call_stream.jetstream_standing import JetStreamStanding, ServerStanding, inspect_jetstream
from call_stream.stream import open_writer
from hubspot_calls.doctor.findings import Verdict
from hubspot_calls.doctor.jetstream import findings_of, look_at_jetstream
from hubspot_calls.settings import settings_from
from tests.call_stream.nats_server import NatsServer, nats_server
from tests.needed_servers import or_skip

SAFE = JetStreamStanding(
    stream="CALLS",
    servers=tuple(ServerStanding(f"n{n}:4222", "2.12.3", flush_every_s=0.0) for n in range(3)),
    exists=True,
    max_payload=1_048_576,
    replicas=3,
    current_replicas=3,
    duplicate_window_s=120.0,
)


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with or_skip(), nats_server() as server:
        yield server


def told(standing: JetStreamStanding) -> list[str]:
    """What is said that is not as it should be."""
    return [each.said for each in findings_of(standing) if each.verdict is not Verdict.OK]


def with_server(**fields: object) -> JetStreamStanding:
    """Safe but for one server."""
    odd = replace(SAFE.servers[0], **fields)  # type: ignore[arg-type]
    return replace(SAFE, servers=(odd, *SAFE.servers[1:]))


def test_what_is_safe_is_said_to_be() -> None:
    findings = list(findings_of(SAFE))

    assert {each.verdict for each in findings} == {Verdict.OK}
    assert findings[0].said == "Stream CALLS, 3 copies, on 3 servers of version 2.12.3."
    assert findings[-1].said == "Every server flushes to disk before it acknowledges."


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (replace(SAFE, replicas=1, current_replicas=1), "a single copy"),
        (replace(SAFE, replicas=2, current_replicas=2), "2 copies survive no more failures than 1"),
        (replace(SAFE, current_replicas=2), "Only 2 of 3 copies"),
        (replace(SAFE, is_on_disk=False), "kept in memory"),
        (replace(SAFE, drops_oldest=True), "drops its oldest calls"),
        (replace(SAFE, duplicate_window_s=5.0), "for 5 s only"),
        (replace(SAFE, differences=("replicas is 3, not 5",)), "replicas is 3, not 5"),
        (with_server(flush_every_s=120.0), "n0:4222 (2.12.3): flushed to disk every 120 s"),
        (with_server(flush_every_s=None), "n0:4222 (2.12.3): not known whether it flushes"),
        (with_server(version="2.10.22"), "n0:4222 (2.10.22): before version 2.10.23"),
        (with_server(version=None), "n0:4222: no answer"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_could_lose_a_call_is_said_with_what_to_do(
    standing: JetStreamStanding, said: str
) -> None:
    sentences = told(standing)

    assert len(sentences) == 1
    assert said in sentences[0]
    assert all(each.advice for each in findings_of(standing) if each.verdict is not Verdict.OK)


@pytest.mark.parametrize("version", ["2.10.23", "2.11.0", "2.12.0-beta.1", "3.0.0"])
def test_versions_that_keep_streams_are_not_complained_of(version: str) -> None:
    assert told(with_server(version=version)) == []


def test_a_version_that_cannot_flush_is_told_to_be_updated() -> None:
    sentences = told(with_server(version="2.9.10", flush_every_s=None))

    assert len(sentences) == 2
    assert "cannot be told otherwise" in sentences[1]
    assert "has the old positions again" in sentences[1]


def test_a_real_server_is_asked_what_it_is(server: NatsServer) -> None:
    url = server.url("asked")
    before = inspect_jetstream(url)
    open_writer(url, retention_days=3).close()

    standing = inspect_jetstream(url, retention_days=3)
    otherwise = inspect_jetstream(url.replace("?", "?replicas=3&"), retention_days=4)

    assert not before.exists
    assert (standing.exists, standing.replicas, standing.current_replicas) == (True, 1, 1)
    assert (standing.is_on_disk, standing.max_age_s) == (True, 3 * 86_400)
    assert standing.differences == ()
    assert [each.address for each in standing.servers] == [server.address]
    assert standing.servers[0].release >= (2, 9)
    assert [each.split(" ")[0] for each in otherwise.differences] == ["replicas", "max_age"]


def test_how_often_a_real_server_flushes_is_known_where_it_can_be_set(server: NatsServer) -> None:
    [standing] = inspect_jetstream(server.url("asked")).servers
    [silent] = inspect_jetstream(server.url("asked", monitoring=1)).servers

    assert standing.flush_every_s == (None if standing.release < (2, 10) else 120.0)
    assert silent.flush_every_s is None


def test_doctor_looks_at_the_servers_of_the_settings(server: NatsServer) -> None:
    url = server.url("doctored", secret="u:hunter2")
    open_writer(url).close()
    settings = settings_from({"HUBSPOT_CALLS_STREAM_URL": url})

    said = [each.said for each in look_at_jetstream(settings)]

    assert said[0].startswith("Stream doctored, one copy, on 1 server of version 2.")
    assert "a single copy" in said[1]
    assert "hunter2" not in str(said)


def test_nothing_is_said_of_files_or_of_servers_that_cannot_be_asked() -> None:
    files = settings_from({"HUBSPOT_CALLS_STREAM_URL": "file:/nowhere"})
    nobody = settings_from({"HUBSPOT_CALLS_STREAM_URL": "nats://127.0.0.1:1/CALLS"})

    assert list(look_at_jetstream(files)) == []
    assert list(look_at_jetstream(nobody)) == []
