"""The simulator as a program: one process, a line or two once it listens, a clean end.

It knows no command line; __main__.py does.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .answers import HubSpotError
from .contact_markup import contacts_path
from .simulator import DEFAULT_PORTAL, Simulator


class CannotStart(Exception):
    """The port or the file cannot be had; the text says which and why."""


def run(
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    portal_id: int = DEFAULT_PORTAL,
    contacts: Path | None = None,
    service_key: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    redirect_uri: str | None = None,
    rate_limits: bool = True,
    index_lag_s: float = 0.0,
    access_token_lifetime_s: float = 1800.0,
    rotate_refresh_tokens: bool = False,
    seed: int = 0,
    print_json: bool = False,
    print_env: bool = False,
) -> None:
    """Serves until SIGINT or SIGTERM. Raises CannotStart where the port or the file cannot be had,
    and ValueError where a contact cannot be used.
    """
    entries = _contacts(contacts) if contacts is not None else []
    stopped = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopped.set()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        simulator = Simulator(
            port,
            host=host,
            rate_limits=rate_limits,
            index_lag_s=index_lag_s,
            access_token_lifetime_s=access_token_lifetime_s,
            rotate_refresh_tokens=rotate_refresh_tokens,
            seed=seed,
        )
        with _listening(simulator, host, port):
            key = simulator.add_service_key(portal_id, key=service_key)
            if client_id and client_secret and redirect_uri:
                simulator.add_app(client_id, client_secret, [redirect_uri])
            try:
                count = len(simulator.seed_contacts(entries, portal_id))
            except HubSpotError as err:
                msg = f"{contacts} holds a contact that HubSpot would refuse: {err}"
                raise CannotStart(msg) from err
            if print_env:
                _print_env(simulator.url, key, client_id, client_secret, redirect_uri)
            else:
                _announce(simulator.url, portal_id, key, count, print_json)
            # Who asks for JSON is a program, and gets all it needs in that one line.
            if not print_json:
                _say_where_to_look(simulator.url, portal_id, alone=print_env)
            stopped.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _listening(simulator: Simulator, host: str, port: int) -> Iterator[None]:
    try:
        simulator.start()
    except OSError as err:
        reason = err.strerror or str(err)
        if err.errno == errno.EADDRINUSE:
            reason = "another program listens there already"
        msg = f"cannot listen on {host} port {port}: {reason}; choose another, or 0 for a free one"
        raise CannotStart(msg) from err
    try:
        yield
    finally:
        simulator.stop()


def _announce(url: str, portal_id: int, key: str, contacts: int, as_json: bool) -> None:
    if as_json:
        said = json.dumps(
            {"url": url, "portal_id": portal_id, "service_key": key, "contacts": contacts}
        )
    else:
        said = (
            f"HubSpot simulator listens on {url} (portal {portal_id}, service key {key}, "
            f"{contacts} contacts)"
        )
    sys.stdout.write(said + "\n")
    sys.stdout.flush()


def _say_where_to_look(url: str, portal_id: int, *, alone: bool) -> None:
    # On stderr, so that stdout can go into a file; `alone` where stdout tells no person anything.
    listens = f"HubSpot simulator listens on {url}; see" if alone else "See"
    sys.stderr.write(f"{listens} its contacts at {url}{contacts_path(portal_id)}\n")
    sys.stderr.flush()


def _print_env(
    url: str, key: str, client_id: str | None, client_secret: str | None, redirect_uri: str | None
) -> None:
    settings = {
        "HUBSPOT_API_URL": url,
        # With an app, people connect their portals; a key would stand in the way of that.
        "HUBSPOT_SERVICE_KEY": None if client_id else key,
        # Without it links to contacts would lead to the real HubSpot.
        "HUBSPOT_APP_URL": url,
        "HUBSPOT_CLIENT_ID": client_id,
        "HUBSPOT_CLIENT_SECRET": client_secret,
        "HUBSPOT_REDIRECT_URI": redirect_uri,
    }
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in settings.items() if value))
    sys.stdout.flush()


def _contacts(path: Path) -> list[dict[str, Any]]:
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        msg = f"{path} cannot be read: {err.strerror or type(err).__name__}"
        raise CannotStart(msg) from err
    except json.JSONDecodeError as err:
        msg = f"{path} is no JSON: line {err.lineno}, column {err.colno}: {err.msg}"
        raise CannotStart(msg) from err
    except ValueError as err:
        msg = f"{path} is no JSON: it is not UTF-8 text"
        raise CannotStart(msg) from err
    entries = written.get("contacts") if isinstance(written, dict) else written
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        msg = f"{path} must hold a list of contacts, or an object with a list named contacts"
        raise CannotStart(msg)
    return entries
