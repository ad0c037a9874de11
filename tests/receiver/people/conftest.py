"""A receiver on a real port with a pretend HubSpot beside it, and browsers that visit both."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from cryptography.fernet import Fernet
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from call_stream.stream import open_writer
from hubspot_simulator.simulator import Simulator
from receiver.access import FrontDoor
from receiver.app import create_app
from receiver.connection_status import ProgressCache, StatusDesk, status_routes
from receiver.consent import Consents
from receiver.oauth import CALLBACK_PATH, OAuthDesk, oauth_routes
from receiver.recordings import RecordingDesk
from receiver.server import build_server
from receiver.session_cookies import SessionCookies
from receiver.sessions import PageSessions, SessionDesk, session_routes
from receiver.settings import ReceiverSettings
from receiver.sign_in_limits import SignInLimits
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.hubspot.grants import GrantClient
from target_hubspot_calls.hubspot.oauth import REQUIRED_SCOPES, OAuthApp
from target_hubspot_calls.store.connections import Connections
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.grants import Grants
from target_hubspot_calls.store.keys import AccessKeys
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.oauth_states import OAuthStates
from target_hubspot_calls.store.progress import ProgressReader
from target_hubspot_calls.store.sessions import Sessions
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.store.webhooks import Webhooks
from target_hubspot_calls.tokens import TokenSet

CLIENT_SECRET = "canary-client-secret"
ADA = Workspace("ada", "sales")


class MovedClock:
    """The time, as far off as a test wants it."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def pass_s(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)


@dataclass
class Browser:
    """A browser with cookies of its own; what it sends says which page sent it."""

    front: Front
    client: httpx.Client
    csrf: str | None = None

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """What a page of ours gets that asks with all it has."""
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": self.front.url}
        if self.csrf is not None:
            headers["X-CSRF-Token"] = self.csrf
        headers |= options.pop("headers", {})
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def sign_in(self, key: str) -> httpx.Response:
        answer = self.ask("POST", "/api/session", json={"access_key": key})
        if answer.is_success:
            self.csrf = answer.json()["csrfToken"]
        return answer

    def consent_url(self, **parameters: str) -> str:
        answer = self.get("/api/hubspot/oauth/initiate", params=parameters)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["authUrl"])

    def decide(self, consent_url: str, portal_id: int, decision: str = "approve") -> str:
        """The address of ours that HubSpot sends the browser back to."""
        shown = httpx.get(consent_url, trust_env=False)
        assert shown.status_code == 200, shown.text
        asked = dict(parse_qsl(urlsplit(consent_url).query))
        decided = httpx.get(
            f"{self.front.portal.url}/oauth/decision",
            params={**asked, "portal_id": str(portal_id), "decision": decision},
            trust_env=False,
        )
        return decided.headers["location"]

    def come_back(self, address: str, **headers: str) -> httpx.Response:
        """What a browser sees that HubSpot sends to us."""
        sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": HTML}
        return self.client.get(address, headers=sent | headers)

    def connect(self, portal_id: int, **parameters: str) -> httpx.Response:
        return self.come_back(self.decide(self.consent_url(**parameters), portal_id))


HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Front:
    """A served receiver with all that people reach, and its store."""

    def __init__(
        self,
        directory: Path,
        portal: Simulator,
        *,
        clock: MovedClock,
        keys: list[str] | None = None,
        **options: Any,
    ) -> None:
        self.portal = portal
        self.clock = clock
        self.key_texts = keys or [Fernet.generate_key().decode()]
        self.engine = open_database(f"sqlite:///{directory}/store.db")
        self.vault = Vault(self.key_texts)
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.public_url = options.pop("public_url", self.url)
        self.access_keys = AccessKeys(self.engine)
        self.connections = Connections(self.engine, self.vault, clock=clock)
        self.grants = Grants(self.engine, self.vault, clock=clock)
        self.ledger = Ledger(self.engine)
        self.sessions = Sessions(self.engine, clock=clock)
        self.states = OAuthStates(self.engine, clock=clock)
        self._serve(directory, options)

    def _serve(self, directory: Path, options: dict[str, Any]) -> None:
        client_id = f"app-{next(_numbers)}"
        self.portal.add_app(client_id, CLIENT_SECRET, [self.url + CALLBACK_PATH])
        self.client_id = client_id
        self.app = OAuthApp(
            client_id=options.pop("client_id", client_id),
            client_secret=options.pop("client_secret", CLIENT_SECRET),
            redirect_uri=self.url + CALLBACK_PATH,
            api_url=options.pop("api_url", self.portal.url),
            app_url=self.portal.url,
        )
        client = None if options.pop("without_app", False) else GrantClient(self.app)
        has_service_key = options.pop("service_key", False)
        cookies = SessionCookies(
            self.vault.derive("cookies"), https=self.public_url.startswith("https:")
        )
        pages = PageSessions(self.sessions, cookies, public_url=self.public_url)
        self.limits = options.pop("limits", None) or SignInLimits(per_address=100_000)
        door = FrontDoor(
            self.access_keys,
            public_url=self.public_url,
            sessions=pages,
            tokens=options.pop("tokens", None),
        )
        consents = Consents(self.states, self.grants, self.ledger, client, now=self.clock)
        page_url = options.pop("page_url", self.public_url + "/")
        routes = [
            *session_routes(
                SessionDesk(
                    self.access_keys, self.sessions, cookies, pages, door, self.public_url,
                    limits=self.limits,
                )
            ),
            *oauth_routes(
                OAuthDesk(door, pages, cookies, page_url, consents, service_key=has_service_key)
            ),
            *status_routes(
                StatusDesk(
                    door, self.connections, consents,
                    ProgressCache(ProgressReader(self.engine), keep_s=0),
                    load_backlog=options.pop("load_backlog", None),
                    service_key=has_service_key,
                    can_connect=client is not None,
                    now=self.clock,
                )
            ),
        ]  # fmt: skip

        async def echo(request: Request) -> JSONResponse:
            await door.workspace_of(request)
            return JSONResponse(dict(await request.form()))

        routes.append(Route("/form", echo, methods=["POST"]))
        assert not options, options
        application = create_app(
            ReceiverSettings(),
            stream=open_writer(f"file:{directory}/stream"),
            webhooks=Webhooks(self.engine),
            recordings=RecordingDesk(door, self.ledger),
            routes=routes,
            beside=[client] if client else [],
        )
        listening = threading.Event()
        port = int(self.url.rpartition(":")[2])
        self._server = build_server(
            application, "127.0.0.1", port, on_listening=lambda _: listening.set()
        )
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        assert listening.wait(10)
        self._clients: list[httpx.Client] = []

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self._server.should_exit = True
        self._thread.join(15)
        assert not self._thread.is_alive()
        self.engine.dispose()

    def browser(self) -> Browser:
        """A browser nobody is signed in with."""
        client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        self._clients.append(client)
        return Browser(self, client)

    def program(self, key: str) -> httpx.Client:
        """A program with an access key."""
        client = httpx.Client(
            base_url=self.url,
            timeout=20,
            trust_env=False,
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
        )
        self._clients.append(client)
        return client

    def a_key(self, workspace: Workspace) -> str:
        return self.access_keys.create(workspace.user_id, workspace.workspace_id)[1]

    def a_workspace(self) -> Workspace:
        """A user and workspace that no other test has."""
        number = next(_numbers)
        return Workspace(f"user-{number}", f"workspace-{number}")

    def signed_in(self, workspace: Workspace | None = None) -> Browser:
        browser = self.browser()
        key = self.a_key(workspace or self.a_workspace())
        assert browser.sign_in(key).status_code == 200
        return browser

    def connection(self, workspace: Workspace) -> Any:
        return self.connections.get(workspace.user_id, workspace.workspace_id)


_numbers = itertools.count(1)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def shared_portal() -> Iterator[Simulator]:
    with Simulator(port=0, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture
def portal(shared_portal: Simulator) -> Iterator[Simulator]:
    yield shared_portal
    shared_portal.clear_faults()


@pytest.fixture
def a_portal_id(portal: Simulator) -> Callable[[], int]:
    """Makes portals that no other test has."""

    def build() -> int:
        return portal.add_portal(48_100_000 + next(_numbers)).id

    return build


@pytest.fixture(scope="session")
def shared_front(
    shared_portal: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    front = Front(tmp_path_factory.mktemp("front"), shared_portal, clock=MovedClock())
    yield front
    front.stop()


@pytest.fixture
def front(shared_front: Front, portal: Simulator) -> Iterator[Front]:
    """A receiver that other tests use too, each for workspaces of its own."""
    yield shared_front
    shared_front.clock.offset = timedelta()


@pytest.fixture
def a_front(portal: Simulator, tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """Starts a receiver of the test's own."""
    running: list[Front] = []

    def start(**options: Any) -> Front:
        running.append(Front(tmp_path, portal, clock=MovedClock(), **options))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def tokens(front: Front) -> Callable[..., TokenSet]:
    """Builds tokens that nobody ever gave out."""

    def build(**fields: Any) -> TokenSet:
        return TokenSet(
            **{
                "access_token": "canary-access",
                "refresh_token": f"canary-refresh-{next(_numbers)}",
                "expires_at": front.clock() + timedelta(minutes=30),
                "scopes": REQUIRED_SCOPES,
                "portal_id": 48_000_777,
                **fields,
            }
        )

    return build
