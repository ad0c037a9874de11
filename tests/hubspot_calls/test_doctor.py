from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from call_stream.stream import EntryKind, open_reader, open_writer
from hubspot_calls.doctor.findings import age
from hubspot_calls.rooms import Store, open_store, open_sync_log_file
from hubspot_calls.settings import READER_NAME, settings_from
from hubspot_calls.sync_state import StateFile
from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.tokens import TokenSet
from tests.hubspot_calls.conftest import HubSpotCalls
from tests.tap_vapi.stand_in import KEY, VapiStandIn

DEFAULT = Workspace("default", "default")
# Nothing listens there.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def store(data_dir: Path) -> Iterator[Store]:
    settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": str(data_dir)})
    with open_store(settings) as opened:
        yield opened


@pytest.fixture
def look(hubspot_calls: HubSpotCalls) -> Callable[..., dict[str, Any]]:
    """What `doctor --json` finds, by what it looked at; with its exit code."""

    def run(*options: str) -> dict[str, Any]:
        ended = hubspot_calls("doctor", "--json", *options)
        told = json.loads(ended.out)
        found: dict[str, Any] = {"code": ended.code, "healthy": told["healthy"]}
        for finding in told["findings"]:
            found.setdefault(finding["check"], []).append((finding["verdict"], finding["said"]))
            assert (finding["verdict"] == "ok") is not bool(finding["advice"])
        return found

    return run


def add_oauth(store: Store, portal: Simulator, *scopes: str) -> None:
    tokens = portal.issue_tokens(client_id="client-1")
    store.connections.add_oauth(
        "default",
        "default",
        TokenSet(
            access_token=tokens["access_token"],
            refresh_token=tokens["refresh_token"],
            expires_at=datetime.now(UTC) + timedelta(minutes=20),
            scopes=scopes
            or ("oauth", "crm.objects.contacts.read", "crm.objects.contacts.write", "files"),
            portal_id=tokens["hub_id"],
        ),
    )


def test_a_machine_where_nothing_was_begun_is_told_what_comes_first(
    look: Callable[..., dict[str, Any]], data_dir: Path
) -> None:
    found = look("--offline")

    assert (found["code"], found["healthy"]) == (0, True)
    assert found["data directory"] == [("attention", f"{data_dir} is not there yet.")]
    assert found["settings"][0][1] == "VAPI cannot reach http://127.0.0.1:8000."
    assert not data_dir.exists()


def test_all_that_works_is_said_to_work(
    look: Callable[..., dict[str, Any]],
    store: Store,
    data_dir: Path,
    portal: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    webhook, _ = store.webhooks.create("default", "default")
    store.webhook_counts.add({(webhook.id, "stored"): (3, datetime.now(UTC))})
    portal.add_app()
    add_oauth(store, portal)
    with VapiStandIn() as vapi, contextlib.closing(open_writer(f"file:{data_dir}/stream")):
        for name, value in {
            "HUBSPOT_CALLS_PUBLIC_URL": "https://calls.example.com",
            "HUBSPOT_API_URL": portal.url,
            "HUBSPOT_CLIENT_ID": "client-1",
            "HUBSPOT_CLIENT_SECRET": "client-secret-1",
            "VAPI_API_KEY": KEY,
            "VAPI_API_URL": vapi.url,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("hubspot_calls.doctor.outside.httpx.get", answering(200))

        found = look()

    checks = {name for name in found if name not in ("code", "healthy")}
    assert checks == {
        "settings",
        "data directory",
        "store",
        "encryption keys",
        "webhooks",
        "call stream",
        "sync log",
        "HubSpot",
        "VAPI",
        "receiver",
    }
    assert {verdict for name in checks for verdict, _ in found[name]} == {"ok", "attention"}
    assert [said for name in checks for verdict, said in found[name] if verdict != "ok"] == [
        f"Portal {DEFAULT_PORTAL} has no unique property vapi_call_id: after a lost"
        " answer a call is looked up among the contact's notes."
    ]
    assert found["code"] == 0


def answering(status: int, content: bytes = b"{}") -> Callable[..., Any]:
    return lambda *_, **__: httpx.Response(status, content=content)


def test_wrong_settings_are_all_named_and_nothing_else_is_looked_at(
    look: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_CALLS_MAX_CONNECTIONS", "many")
    monkeypatch.setenv("HUBSPOT_CLIENT_ID", "client-1")

    found = look()

    assert found["code"] == 1
    assert found.keys() == {"code", "healthy", "settings"}
    assert {verdict for verdict, _ in found["settings"]} == {"problem"}
    assert len(found["settings"]) == 2


def test_calls_that_wait_too_long_are_pointed_at(
    look: Callable[..., dict[str, Any]], store: Store, data_dir: Path
) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    record = {"id": "call-1", "customer_number": "+12025550142", "started_at": "2026-11-20"}
    store.ledger.accept([parse_call(record, DEFAULT)], now=long_ago)
    writer = open_writer(f"file:{data_dir}/stream")
    writer.append(EntryKind.CALL, b"{}").result()
    writer.close()

    found = look("--offline")

    [(verdict, said)] = found["store"]
    assert verdict == "attention"
    assert said.startswith("1 call in the store, 1 in line, 0 waiting for a person; the oldest")
    assert said.endswith("3 hours.")
    [(verdict, said)] = found["call stream"]
    assert verdict == "ok"
    assert "bytes are not read yet, the oldest for 0 seconds" in said


def test_a_lost_encryption_key_is_a_problem(
    look: Callable[..., dict[str, Any]], store: Store, data_dir: Path
) -> None:
    store.connections.add_service_key("default", "default", "pat-na1-secret")
    (data_dir / "secret.key").unlink()

    found = look("--offline")

    assert found["code"] == 1
    assert found["encryption keys"][0][0] == "problem"
    assert "pat-na1-secret" not in str(found)
    assert not (data_dir / "secret.key").exists()


def test_a_key_file_that_others_can_read_is_said(
    look: Callable[..., dict[str, Any]], store: Store, data_dir: Path
) -> None:
    store.connections.add_service_key("default", "default", "pat-na1-secret")
    (data_dir / "secret.key").chmod(0o644)
    data_dir.chmod(0o755)

    found = look("--offline")

    assert "(mode 644)" in found["encryption keys"][0][1]
    assert "(mode 755)" in found["data directory"][0][1]


def damage(path: Path, first: int) -> None:
    """Turns bits all over the file, from this byte on."""
    content = bytearray(path.read_bytes())
    for place in range(first, len(content), 97):
        content[place] ^= 0xFF
    path.write_bytes(content)


def a_newer_schema(data_dir: Path) -> None:
    with sqlite3.connect(data_dir / "store.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


@pytest.mark.parametrize(
    ("broken", "check", "said", "advised"),
    [
        ("newer store", "store", "was made by a newer version", "not looked at here"),
        ("damaged store", "store", "is damaged", "not looked at here"),
        ("damaged history", "sync log", "it is damaged; put it aside", "mv "),
        ("no history at all", "sync log", "not a valid DuckDB database", "mv "),
        ("key of another", "encryption keys", "do not open", "Bring back the key file"),
        ("key that is none", "encryption keys", "is not 32 bytes", "Bring back the key file"),
        ("damaged stream", "call stream", "What is not read yet", "VAPI_API_KEY is set"),
    ],
    ids=lambda value: str(value).replace(" ", "-")[:20],
)
def test_whatever_is_broken_the_rest_is_looked_at_and_the_fault_has_its_advice(
    hubspot_calls: HubSpotCalls,
    store: Store,
    data_dir: Path,
    broken: str,
    check: str,
    said: str,
    advised: str,
) -> None:
    store.connections.add_service_key("default", "default", "pat-na1-secret")
    open_sync_log_file(store.settings).append([{"id": "1", "created_at": "2026-11-22T09:00:00Z"}])
    writer = open_writer(store.settings.stream_url)
    for _ in range(5):
        writer.append(EntryKind.CALL, b"{" + b" " * 200 + b"}").result()
    writer.close()
    (segment,) = (data_dir / "stream").glob("*.calls")
    store.engine.dispose()
    {
        "newer store": lambda: a_newer_schema(data_dir),
        "damaged store": lambda: (data_dir / "store.db").write_bytes(b"no database " * 900),
        "damaged history": lambda: damage(data_dir / "sync_log.duckdb", 12_288),
        "no history at all": lambda: (data_dir / "sync_log.duckdb").write_bytes(b"none " * 900),
        "key of another": lambda: (data_dir / "secret.key").write_text("A" * 43 + "="),
        "key that is none": lambda: (data_dir / "secret.key").write_text("open sesame"),
        "damaged stream": lambda: flip(segment, 600),
    }[broken]()

    ended = hubspot_calls("doctor", "--offline", "--json")

    found = json.loads(ended.out)["findings"]
    faults = [finding for finding in found if finding["verdict"] == "problem"]
    assert ended.code == 1
    assert [fault["check"] for fault in faults] == [check]
    assert said in faults[0]["said"]
    assert advised in faults[0]["advice"]
    assert {"settings", "data directory", "store", "call stream", "sync log"} <= {
        finding["check"] for finding in found
    }
    assert "pat-na1-secret" not in ended.out
    assert ended.err == ""


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def test_tokens_that_do_not_open_are_no_fault_of_hubspot(
    look: Callable[..., dict[str, Any]],
    store: Store,
    data_dir: Path,
    portal: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.connections.add_service_key("default", "default", "pat-na1-secret")
    (data_dir / "secret.key").unlink()
    monkeypatch.setenv("HUBSPOT_API_URL", portal.url)
    monkeypatch.setattr("hubspot_calls.doctor.outside.httpx.get", answering(200))

    found = look()

    assert found["HubSpot"] == [("problem", "It is not asked: the stored tokens do not open.")]


def test_names_in_the_env_file_that_are_no_settings_are_said(
    look: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("HUBSPOT_FAVOURITE_COLOUR=blue\n")

    found = look("--offline")

    assert "HUBSPOT_FAVOURITE_COLOUR" in found["settings"][0][1]
    assert found["settings"][0][0] == "attention"
    assert "blue" not in str(found)


def test_a_refused_key_is_answered_with_the_command_that_mends_it(
    hubspot_calls: HubSpotCalls,
    store: Store,
    portal: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.connections.add_service_key("ana", "north shore", "pat-na1-unknown")
    monkeypatch.setenv("HUBSPOT_API_URL", portal.url)
    monkeypatch.setattr("hubspot_calls.doctor.outside.httpx.get", answering(200))

    ended = hubspot_calls("doctor", "--json")

    (fault,) = (each for each in json.loads(ended.out)["findings"] if each["check"] == "HubSpot")
    assert fault["advice"] == (
        "hubspot-calls connections add --user ana --workspace 'north shore'"
        " --service-key-stdin < key.txt"
    )


def test_a_sync_log_that_is_open_elsewhere_is_no_problem(
    look: Callable[..., dict[str, Any]], store: Store, data_dir: Path, start_holder: Any
) -> None:
    start_holder(data_dir / "sync_log.duckdb")

    found = look("--offline")

    [(verdict, said)] = found["sync log"]
    assert verdict == "attention"
    assert "open in another program" in said
    assert found["healthy"]


@pytest.fixture
def start_holder() -> Iterator[Callable[[Path], None]]:
    """A program that has a DuckDB file open to write."""
    started = []

    def start(path: Path) -> None:
        code = (
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]);"
            " c.execute('create table t (i int)'); print('open', flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()

    yield start
    for process in started:
        process.communicate()


def test_broken_files_are_problems_and_each_is_looked_at(
    look: Callable[..., dict[str, Any]], store: Store, data_dir: Path
) -> None:
    (data_dir / "sync_log.duckdb").write_bytes(b"no database" * 1000)
    (data_dir / "stream").write_text("no folder")

    found = look("--offline")

    assert found["code"] == 1
    assert found["sync log"][0][0] == "problem"
    assert found["call stream"][0][0] == "problem"


def test_a_broken_store_is_a_problem(look: Callable[..., dict[str, Any]], data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    with sqlite3.connect(data_dir / "store.db") as made:
        made.execute("create table alembic_version (version_num text)")
        made.execute("insert into alembic_version values ('9999')")
    made.close()
    names = [path.name for path in data_dir.iterdir()]

    found = look("--offline")

    assert names == ["store.db"]
    assert found["code"] == 1
    assert found["store"][0][0] == "problem"


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (503, b'{"store": "unavailable"}', "answers 503 (store unavailable)."),
        (502, b"<html>", "answers 502, not as the receiver does."),
        (502, b"[]", "answers 502, not as the receiver does."),
        (502, b'"x"', "answers 502, not as the receiver does."),
        (502, b"null", "answers 502, not as the receiver does."),
    ],
)
def test_a_receiver_that_is_not_ready_is_a_problem(
    look: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    content: bytes,
    said: str,
) -> None:
    monkeypatch.setenv("HUBSPOT_API_URL", NOWHERE)
    monkeypatch.setattr("hubspot_calls.doctor.outside.httpx.get", answering(status, content))

    found = look()

    [(verdict, sentence)] = found["receiver"]
    assert verdict == "problem"
    assert sentence.endswith(said)


def test_a_receiver_of_another_installation_is_not_taken_for_ours(
    look: Callable[..., dict[str, Any]], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_writer(f"file:{data_dir}/stream").close()
    monkeypatch.setenv("HUBSPOT_API_URL", NOWHERE)
    monkeypatch.setattr("hubspot_calls.doctor.outside.httpx.get", answering(200))

    found = look()

    [(verdict, sentence)] = found["receiver"]
    assert verdict == "attention"
    assert sentence == (
        "Something answers at http://127.0.0.1:8000, but no `hubspot-calls serve` runs with the"
        f" data directory {data_dir}."
    )


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        ((), "Portal "),
        (("oauth", "files"), "lacks crm.objects.contacts.read, crm.objects.contacts.write."),
    ],
    ids=["good", "scope missing"],
)
def test_scopes_of_a_connection_are_looked_at(
    look: Callable[..., dict[str, Any]],
    store: Store,
    portal: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    scopes: tuple[str, ...],
    said: str,
) -> None:
    portal.add_app()
    add_oauth(store, portal, *scopes)
    monkeypatch.setenv("HUBSPOT_API_URL", portal.url)
    monkeypatch.setenv("HUBSPOT_CLIENT_ID", "client-1")
    monkeypatch.setenv("HUBSPOT_CLIENT_SECRET", "client-secret-1")
    monkeypatch.setattr("hubspot_calls.doctor.outside.httpx.get", answering(200))

    found = look()

    assert said in found["HubSpot"][0][1]
    assert (found["HubSpot"][0][0] == "problem") is bool(scopes)


@pytest.mark.parametrize("fault", ["refused", "away", "scope"])
def test_a_service_key_that_opens_nothing_is_a_problem(
    look: Callable[..., dict[str, Any]],
    portal: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    key = "pat-na1-unknown" if fault == "refused" else portal.add_service_key()
    if fault == "scope":
        key = portal.add_service_key(scopes=("files",))
    monkeypatch.setenv("HUBSPOT_SERVICE_KEY", key)
    monkeypatch.setenv("HUBSPOT_API_URL", NOWHERE if fault == "away" else portal.url)
    monkeypatch.setattr("hubspot_calls.doctor.outside.httpx.get", answering(200))

    found = look()

    [(verdict, said)] = found["HubSpot"]
    words = {"refused": "refuses", "away": "cannot be used", "scope": "do too little"}
    assert verdict == "problem"
    assert words[fault] in said
    assert key not in str(found)


def test_a_vapi_key_that_is_refused_is_a_problem(
    look: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_API_URL", NOWHERE)
    with VapiStandIn() as vapi:
        monkeypatch.setenv("VAPI_API_KEY", "another-key")
        monkeypatch.setenv("VAPI_API_URL", vapi.url)
        monkeypatch.setattr("hubspot_calls.doctor.outside.httpx.get", answering(200))

        found = look()

    assert found["VAPI"] == [
        ("problem", "VAPI refuses the private key (HTTP 401); check vapi_api_key.")
    ]


def test_people_read_marks_words_and_what_to_do(hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("doctor", "--offline")

    lines = ended.out.splitlines()
    assert lines[0] == "!    settings: VAPI cannot reach http://127.0.0.1:8000."
    assert lines[1] == "     Set HUBSPOT_CALLS_PUBLIC_URL to the address of your proxy."
    assert lines[-1] == "No problem, 2 things to know of."


def test_webhooks_open_to_anyone_and_never_heard_of_are_said(
    look: Callable[..., dict[str, Any]], store: Store
) -> None:
    store.webhooks.create("default", "default", auth="none")

    said = [sentence for _, sentence in look("--offline")["webhooks"]]

    assert "takes calls from anyone" in said[0]
    assert said[1] == "1 webhook in use; VAPI has not reported yet."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 seconds"), (1, "1 second"), (61, "1 minute"), (7200, "2 hours"), (200_000, "2 days")],
)
def test_ages_are_told_in_the_largest_unit_that_fits(seconds: int, text: str) -> None:
    now = datetime.now(UTC)

    assert age(now - timedelta(seconds=seconds), now) == text


def test_nothing_is_changed_by_looking(
    look: Callable[..., dict[str, Any]], store: Store, data_dir: Path
) -> None:
    store.webhooks.create("default", "default")
    duckdb.connect(data_dir / "sync_log.duckdb").close()
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*.duckdb")}

    look("--offline")

    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*.duckdb")} == before
    assert not (data_dir / "stream").exists()


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "localhost"])
def test_an_address_of_this_machine_is_out_of_vapis_reach(
    look: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HUBSPOT_CALLS_PUBLIC_URL", f"http://{host}:8000")

    found = look("--offline")

    assert found["settings"][0][1] == f"VAPI cannot reach http://{host}:8000."


@pytest.mark.parametrize(
    ("confirmed", "said"),
    [(1, "Read to its end, position "), (-1, "bytes are not read yet")],
    ids=["all is delivered", "one is not"],
)
def test_what_a_running_sync_has_delivered_is_not_called_unread(
    look: Callable[..., dict[str, Any]], data_dir: Path, confirmed: int, said: str
) -> None:
    with contextlib.closing(open_writer(f"file:{data_dir}/stream")) as writer:
        first, second = (
            writer.append(EntryKind.CALL, b'{"id":"call-1"}').result(20) for _ in range(2)
        )
    open_reader(f"file:{data_dir}/stream").save_position(READER_NAME, first)
    mark = {
        "context": {"source": "stream"},
        "replication_key_value": second if confirmed > 0 else first,
    }
    StateFile(data_dir).save(json.dumps({"bookmarks": {"calls": {"partitions": [mark]}}}))

    found = look("--offline")

    assert said in found["call stream"][0][1]
