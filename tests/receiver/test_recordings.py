"""GET /recordings/{call_id} with a real store, a real receiver and a pretend VAPI."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from call_stream.stream import open_writer
from receiver.access import FrontDoor
from receiver.app import create_app
from receiver.recordings import RecordingDesk
from receiver.server import build_server
from receiver.settings import ReceiverSettings
from target_hubspot_calls.call import Call, Workspace, parse_call
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.recordings.vapi_links import VapiLinks
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.keys import AccessKeys
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.webhooks import Webhooks

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER, BEFORE = NOW + timedelta(minutes=10), NOW - timedelta(minutes=10)
CALL_ID = "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01"
SIGNED = "https://acct.r2.cloudflarestorage.com/b/c.wav?X-Amz-Signature=a%2Fb+c;d"
OWN = "https://recordings.harbor.example/c.wav"
FRESH = "https://acct.r2.cloudflarestorage.com/b/c.wav?X-Amz-Signature=fresh"
HARBOR = Workspace("dana", "harbor-dental")
ODD_IDS = ["a/b", "ü", "100%", "a b", "..."]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Desk:
    """A served receiver with one call in its ledger and a key to see it."""

    def __init__(self, directory: Path, vapi_url: str | None) -> None:
        engine = open_database(f"sqlite:///{directory}/store.db")
        self.ledger = Ledger(engine)
        self.keys = AccessKeys(engine)
        self.key_id, self.key = self._new_key("dana", "harbor-dental")
        vapi = VapiLinks("canary-private-key", vapi_url, tries=1) if vapi_url else None
        door = FrontDoor(self.keys, public_url="http://127.0.0.1:8000")
        app = create_app(
            ReceiverSettings(),
            stream=open_writer(f"file:{directory}/stream"),
            webhooks=Webhooks(engine),
            recordings=RecordingDesk(door, self.ledger, vapi, now=lambda: NOW),
        )
        listening = threading.Event()
        self._server = build_server(app, "127.0.0.1", 0, on_listening=lambda _: listening.set())
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        assert listening.wait(10)
        self._client = httpx.Client(base_url=self._server.url, timeout=20, trust_env=False)

    def _new_key(self, user_id: str, workspace_id: str) -> tuple[str, str]:
        key, text = self.keys.create(user_id, workspace_id)
        return key.id, text

    def key_of(self, user_id: str, workspace_id: str) -> str:
        return self._new_key(user_id, workspace_id)[1]

    def stop(self) -> None:
        self._client.close()
        self._server.should_exit = True
        self._thread.join(15)
        assert not self._thread.is_alive()

    def ask(self, call_id: str = CALL_ID, **options: Any) -> httpx.Response:
        """The answer to a browser that is signed in, unless `headers` say otherwise."""
        headers = {"Authorization": f"Bearer {self.key}", "Accept": BROWSER}
        headers = options.pop("headers", headers)
        return self._client.request(
            options.pop("method", "GET"), f"/recordings/{call_id}", headers=headers, **options
        )


@pytest.fixture
def a_vapi() -> Iterator[Callable[..., str]]:
    """Serves one answer to all; gives its address."""
    servers: list[ThreadingHTTPServer] = []

    def build(status: int, location: str | None = None) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield build
    for server in servers:
        server.shutdown()
        server.server_close()


def a_recorded_call(**fields: Any) -> Call:
    """A call of Harbor Dental's with a recording of its own storage."""
    return parse_call({"id": CALL_ID, "recording_url": OWN, **fields}, HARBOR)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A receiver without a VAPI key, for tests that leave it as it is."""
    shared = Desk(tmp_path_factory.mktemp("desk"), None)
    shared.ledger.accept([a_recorded_call(id=i) for i in (CALL_ID, *ODD_IDS)], now=NOW)
    yield shared
    shared.stop()


@pytest.fixture
def a_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Builds a receiver with one call."""
    running: list[Desk] = []

    def build(vapi_url: str | None = None, **fields: Any) -> Desk:
        running.append(Desk(tmp_path, vapi_url))
        running[-1].ledger.accept([a_recorded_call(**fields)], now=NOW)
        return running[-1]

    yield build
    for desk in running:
        desk.stop()


@pytest.mark.parametrize(
    ("url", "expires_at"), [(OWN, None), (SIGNED, LATER), ("http://127.0.0.1:8001/c.wav", None)]
)
def test_a_link_that_lives_is_passed_on_as_it_is(a_desk, url, expires_at):
    answer = a_desk(recording_url=url, recording_expires_at=expires_at).ask()

    assert (answer.status_code, answer.headers["location"]) == (302, url)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.content == b""


def test_vapi_is_asked_for_a_fresh_link_when_its_key_is_set(a_desk, a_vapi):
    desk = a_desk(a_vapi(302, FRESH), recording_url=SIGNED, recording_expires_at=BEFORE)

    answer = desk.ask()

    assert (answer.status_code, answer.headers["location"]) == (302, FRESH)


@pytest.mark.parametrize("status", [404, 401, 500])
def test_a_link_that_lives_is_used_when_vapi_has_no_other(a_desk, a_vapi, status):
    answer = a_desk(a_vapi(status), recording_url=OWN).ask()

    assert (answer.status_code, answer.headers["location"]) == (302, OWN)


@pytest.mark.parametrize(
    ("vapi_status", "status", "code", "sentence"),
    [
        (None, 410, "recording_expired", "The link to this recording has expired."),
        (404, 404, "recording_gone", "VAPI has no recording of this call."),
        (400, 410, "recording_gone", "VAPI no longer keeps the call's recording (HTTP 400)."),
        (500, 502, "vapi_unavailable", "VAPI answers 500 when asked for the recording."),
        (401, 502, "vapi_unavailable",
         "VAPI refuses the private key (HTTP 401); check vapi_api_key."),
    ],
)  # fmt: skip
def test_a_dead_link_is_explained(a_desk, a_vapi, vapi_status, status, code, sentence):
    vapi = a_vapi(vapi_status) if vapi_status else None
    desk = a_desk(vapi, recording_url=SIGNED, recording_expires_at=BEFORE)

    page = desk.ask()
    plain = desk.ask(headers={"Authorization": f"Bearer {desk.key}", "Accept": "application/json"})

    assert (page.status_code, plain.status_code) == (status, status)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert plain.json() == {"success": False, "error": sentence, "code": code}
    assert "canary" not in page.text + plain.text
    assert "X-Amz" not in page.text + plain.text


def test_a_link_of_vapis_own_storage_without_a_signature_is_not_passed_on(a_desk):
    desk = a_desk(recording_url="https://storage.vapi.ai/c-mono.wav")

    assert desk.ask().status_code == 410


@pytest.mark.parametrize("url", ["http://files.example/c.wav", "https://u:p@files.example/c.wav"])
def test_nobody_is_sent_to_an_address_that_is_not_https(a_desk, url):
    answer = a_desk(recording_url=url).ask()

    assert answer.status_code == 404
    assert "no https address" in answer.text


def test_a_call_without_a_recording_says_so(a_desk, a_vapi):
    answer = a_desk(a_vapi(302, FRESH), recording_url=None).ask()

    assert answer.status_code == 404
    assert "This call has no recording" in answer.text


def test_another_workspaces_call_is_as_unknown_as_any(a_desk, a_vapi):
    desk = a_desk(a_vapi(302, FRESH))
    strangers = [desk.key_of("dana", "other"), desk.key_of("eve", "harbor-dental")]

    answers = [desk.ask(headers={"Authorization": f"Bearer {key}"}) for key in strangers]
    unknown = desk.ask("no-such-call")

    assert [answer.status_code for answer in (*answers, unknown)] == [404, 404, 404]
    assert {answer.text for answer in answers} == {unknown.text}


def test_a_browser_may_show_the_key_as_a_password(desk):
    for user in ("", "dana"):
        credentials = base64.b64encode(f"{user}:{desk.key}".encode()).decode()
        answer = desk.ask(headers={"Authorization": f"Basic {credentials}"})

        assert answer.status_code == 302


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer hck_wrong", "Bearer {key}x", "{key}", "Digest {key}",
        "Basic", "Basic {key}", "Basic !!!", "Basic /w==", "Basic aGNrX3dyb25n",
        "Bearer " + "a" * 5000,
    ],
    ids=lambda header: repr(header)[:20],
)  # fmt: skip
def test_without_a_key_nobody_learns_anything(desk, header):
    headers = {} if header is None else {"Authorization": header.replace("{key}", desk.key)}

    answer = desk.ask(headers={**headers, "Accept": "application/json"})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="hubspot-calls"'
    assert answer.json()["code"] == "unauthorized"
    assert desk.key not in answer.text


def test_a_revoked_key_opens_nothing(a_desk):
    desk = a_desk()

    desk.keys.revoke(desk.key_id)

    assert desk.ask().status_code == 401


@pytest.mark.parametrize("call_id", ODD_IDS)
def test_a_call_id_of_another_source_may_have_any_characters(desk, call_id):
    answer = desk.ask(call_id.replace("%", "%25"))

    assert (answer.status_code, answer.headers.get("location")) == (302, OWN)


@pytest.mark.parametrize("call_id", ["", "a" * 201, "%00", "a%0d%0ab", "';drop table calls;--"])
def test_an_id_that_cannot_be_is_no_call(desk, call_id):
    assert desk.ask(call_id).status_code == 404


def test_the_page_has_no_script_and_allows_none(desk):
    answer = desk.ask("%3Cscript%3Ealert(1)%3C/script%3E")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "<script" not in answer.text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/html"),
        ("*/*", "text/html"),
        (BROWSER, "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("application/*, text/html;q=0.9", "application/json"),
        ("application/json;q=nonsense", "text/html"),
        ("application/json;q=0.1, text/*", "text/html"),
    ],
)  # fmt: skip
def test_errors_come_as_their_reader_prefers(desk, accept, kind):
    headers = {"Authorization": f"Bearer {desk.key}", "Accept": accept or ""}

    answer = desk.ask("no-such-call", headers=headers)

    assert answer.headers["content-type"].partition(";")[0] == kind


def test_other_methods_are_not_taken(desk):
    assert desk.ask(method="POST").status_code == 405
    assert desk.ask(method="HEAD").status_code == 302


def test_a_store_that_cannot_be_read_is_no_fault_of_the_asker(a_desk, monkeypatch):
    desk = a_desk()

    def fail(key: str) -> None:
        raise StoreUnavailable("The store is gone from /secret/path.")

    monkeypatch.setattr(desk.keys, "authenticate", fail)
    answer = desk.ask()

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "/secret/path" not in answer.text
