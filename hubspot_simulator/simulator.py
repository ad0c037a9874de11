"""The simulator as tests use it: served from a thread of this process, its state at hand.

Portals named anywhere here are made where they are missing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from .app import HubSpotApi
from .control import build_pages, contacts_of, issue_tokens, shown_record
from .faults import Fault
from .file_operations import shown as shown_file
from .kinds import CALL, CONTACT, NOTE
from .oauth import ALL_SCOPES, App
from .portal import Portal
from .request_log import LoggedRequest
from .server import PromptServer, build_server
from .settings import SimulatorSettings
from .state import Clock, SimulatorState

DEFAULT_PORTAL = 48_000_001
_START_S = 10.0
_STOP_S = 10.0


class Simulator:
    """A pretend HubSpot over real HTTP on 127.0.0.1; a context manager.

    Further keyword arguments are fields of SimulatorSettings.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        rate_limits: bool = True,
        index_lag_s: float = 0.0,
        access_token_lifetime_s: float = 1800.0,
        rotate_refresh_tokens: bool = False,
        seed: int = 0,
        clock: Clock = time.time,
        **settings: Any,
    ) -> None:
        chosen = SimulatorSettings()
        chosen.change(
            {
                "rate_limits": rate_limits,
                "index_lag_s": index_lag_s,
                "access_token_lifetime_s": access_token_lifetime_s,
                "rotate_refresh_tokens": rotate_refresh_tokens,
                **settings,
            }
        )
        self.state = SimulatorState(chosen, seed=seed, clock=clock)
        self.app = HubSpotApi(self.state, build_pages(self.state))
        self._host = host
        self._port = port
        self._server: PromptServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def settings(self) -> SimulatorSettings:
        """The switches; they may be changed while it runs."""
        return self.state.settings

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        """Listens, and returns once it does. Raises OSError where the port is taken."""
        listener = _listener(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._server = build_server(self.app, self._host, self._port)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="hubspot-simulator", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                msg = "the HubSpot simulator did not start"
                raise RuntimeError(msg)
            time.sleep(0.002)

    def stop(self) -> None:
        """Stops listening; open connections are closed."""
        if self._server is None or self._thread is None:
            return
        self._server.stop()
        self._thread.join(_STOP_S)
        self._server = None

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def portal(self, portal_id: int = DEFAULT_PORTAL) -> Portal:
        """The state of one portal."""
        with self.state.lock:
            return self.state.portal(portal_id)

    def add_portal(self, portal_id: int = DEFAULT_PORTAL) -> Portal:
        """The state of a portal, made where it is missing."""
        return self.portal(portal_id)

    def add_service_key(
        self,
        portal_id: int = DEFAULT_PORTAL,
        scopes: Sequence[str] = ALL_SCOPES,
        *,
        key: str | None = None,
    ) -> str:
        """A static key of a portal."""
        with self.state.lock:
            self.state.portal(portal_id)
            return self.state.authority.add_service_key(portal_id, tuple(scopes), key)

    def add_app(
        self,
        client_id: str = "client-1",
        client_secret: str = "client-secret-1",  # noqa: S107
        redirect_uris: Sequence[str] = ("http://127.0.0.1/callback",),
        *,
        name: str = "Call notes",
    ) -> App:
        """An OAuth app."""
        with self.state.lock:
            number = len(self.state.authority.apps) + 1
            app = App(client_id, client_secret, tuple(redirect_uris), name, number)
            self.state.authority.apps[client_id] = app
            return app

    def issue_tokens(
        self,
        portal_id: int = DEFAULT_PORTAL,
        client_id: str = "client-1",
        scopes: Sequence[str] = ALL_SCOPES,
        *,
        lifetime_s: float | None = None,
    ) -> dict[str, Any]:
        """Tokens as the token endpoint answers them, without anybody's consent."""
        return issue_tokens(self.state, portal_id, client_id, tuple(scopes), lifetime_s)

    def expire_tokens(self, portal_id: int | None = None) -> int:
        """Ends the life of OAuth access tokens now; how many."""
        with self.state.lock:
            return self.state.authority.expire(self.state.clock(), portal_id)

    def revoke(self, portal_id: int = DEFAULT_PORTAL, client_id: str | None = None) -> int:
        """Takes an app (or all apps and keys) off a portal; how many tokens died."""
        with self.state.lock:
            return self.state.authority.revoke(portal_id, client_id)

    def add_contact(self, portal_id: int = DEFAULT_PORTAL, **properties: str) -> str:
        """The id of a new contact."""
        return self.state.add_contact(portal_id, properties)

    def seed_contacts(
        self, entries: Iterable[Mapping[str, Any]], portal_id: int = DEFAULT_PORTAL
    ) -> list[str]:
        """The ids of new contacts; an entry is properties, or has `properties` and maybe `id`."""
        return self.state.seed_contacts(portal_id, entries)

    def archive_contact(self, contact_id: str, portal_id: int = DEFAULT_PORTAL) -> bool:
        """Puts a contact into the recycle bin; False where there is none."""
        with self.state.lock:
            return self.state.portal(portal_id).archive(CONTACT, contact_id)

    def contacts(self, portal_id: int = DEFAULT_PORTAL) -> list[dict[str, Any]]:
        """All contacts: id, properties, associations."""
        with self.state.lock:
            return contacts_of(self.state.portal(portal_id))

    def notes(self, portal_id: int = DEFAULT_PORTAL) -> list[dict[str, Any]]:
        """All notes: id, properties, associations, trace_id."""
        return self._activities(portal_id, NOTE.name)

    def calls(self, portal_id: int = DEFAULT_PORTAL) -> list[dict[str, Any]]:
        """All call engagements: id, properties, associations, trace_id."""
        return self._activities(portal_id, CALL.name)

    def files(self, portal_id: int = DEFAULT_PORTAL) -> list[dict[str, Any]]:
        """All files, as the files API shows them."""
        with self.state.lock:
            portal = self.state.portal(portal_id)
            return [shown_file(f, self.url, portal_id) for f in portal.files.files.values()]

    def requests(
        self,
        *,
        method: str | None = None,
        operation: str | None = None,
        status: int | None = None,
        portal_id: int | None = None,
    ) -> list[LoggedRequest]:
        """What reached the API, oldest first. An operation is a method and a path without version,
        such as `POST /crm/objects/notes/batch/create`.
        """
        return self.state.log.select(
            method=method, operation=operation, status=status, portal_id=portal_id
        )

    def counts(self) -> dict[str, int]:
        """How many requests each operation had."""
        return self.state.log.counts()

    def clear_requests(self) -> None:
        """Forgets the log and the highest counts."""
        with self.state.lock:
            self.state.log.entries.clear()
            self.state.rates.clear()

    def add_fault(self, action: str, **details: Any) -> Fault:
        """A fault in force from now on; details are fields of Fault."""
        fault = Fault.from_json({"action": action, **details})
        with self.state.lock:
            self.state.faults.faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        """Ends all faults."""
        with self.state.lock:
            self.state.faults.faults.clear()

    def reset(self) -> None:
        """Empties portals, faults, log and limits; keys, apps and tokens stay."""
        self.state.reset()

    def recording_url(self, name: str = "call.wav", **query: str | float) -> str:
        """The address of a small valid WAV; query: status, delay, size, redirect and the like."""
        asked = "&".join(f"{key}={value}" for key, value in query.items())
        return f"{self.url}/_simulator/recordings/{name}{'?' if asked else ''}{asked}"

    def _activities(self, portal_id: int, kind: str) -> list[dict[str, Any]]:
        with self.state.lock:
            portal = self.state.portal(portal_id)
            return [shown_record(portal, record) for record in portal.records[kind].values()]


def _listener(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio switches Nagle's delay off only for sockets that do.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener
