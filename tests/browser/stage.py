"""A whole installation for browsers to look at: the simulator, `serve`, and rows of a history."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from uuid_utils import uuid7

from hubspot_calls.processes import clean_environment
from hubspot_calls.rooms import Store, open_store, open_sync_log
from hubspot_calls.settings import settings_from
from hubspot_simulator.simulator import Simulator
from receiver.oauth import CALLBACK_PATH
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.tokens import TokenSet


@dataclass
class Installation:
    """One `serve` with its store open beside it; `process` is the server's."""

    url: str
    folder: Path
    portal: Simulator
    store: Store
    process: subprocess.Popen[str]

    def new_key(self, workspace: Workspace) -> str:
        """The text of a new access key."""
        return self.store.keys.create(workspace.user_id, workspace.workspace_id)[1]

    def sign_in(self, page: Any, workspace: Workspace, path: str = "/") -> None:
        """Signs the browser in, as a person does, and leads it to the path."""
        page.goto(f"{self.url}/sign-in?return_to={path}")
        page.get_by_label("Access key").fill(self.new_key(workspace))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.url}{path}")

    def connect(self, workspace: Workspace) -> None:
        """Connects the workspace to the simulator's portal, without a browser."""
        tokens = self.portal.issue_tokens(client_id="client-1")
        self.store.connections.add_oauth(
            workspace.user_id,
            workspace.workspace_id,
            TokenSet(
                access_token=tokens["access_token"],
                refresh_token=tokens["refresh_token"],
                expires_at=datetime.now(UTC) + timedelta(seconds=tokens["expires_in"]),
                scopes=(
                    "oauth",
                    "crm.objects.contacts.read",
                    "crm.objects.contacts.write",
                    "files",
                ),
                portal_id=tokens["hub_id"],
            ),
        )

    def write_history(self, workspace: Workspace, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes rows of the workspace to the sync log, as a drained outbox would."""
        owner = {"user_id": workspace.user_id, "workspace_id": workspace.workspace_id}
        open_sync_log(self.store.settings, wait_s=20).append([{**row, **owner} for row in rows])


def a_row(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of the sync log: call `number`, written to a contact so many minutes ago."""
    at = datetime.now(UTC) - timedelta(minutes=number)
    return {
        "id": str(uuid7()),
        "call_id": f"call-{number:04d}",
        "contact_id": "501",
        "engagement_id": "9001",
        "engagement_type": "note",
        "file_id": None,
        "status": "success",
        "reason": "created",
        "retryable": False,
        "error_message": None,
        "phone_number": "+12025550142",
        "recording_status": "none",
        "contact_match": "one contact has this number",
        "attempt": 1,
        "correlation_id": None,
        "portal_id": 4_000_000_000,
        "call_started_at": (at - timedelta(minutes=3)).isoformat(),
        "created_at": at.isoformat(),
        "run_id": "run-1",
    } | changes


@contextmanager
def install(folder: Path, *serve_options: str, **variables: str) -> Iterator[Installation]:
    """An installation on free ports of the loopback, which ends with the block."""
    with ExitStack() as stack:
        portal = stack.enter_context(Simulator())
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        portal.add_app(redirect_uris=(f"{url}{CALLBACK_PATH}",))
        ours = {
            "HUBSPOT_CALLS_DATA_DIR": str(folder / "data"),
            "HUBSPOT_CALLS_PUBLIC_URL": url,
            "HUBSPOT_API_URL": portal.url,
            "HUBSPOT_APP_URL": portal.url,
            "HUBSPOT_CLIENT_ID": "client-1",
            "HUBSPOT_CLIENT_SECRET": "client-secret-1",
            "HUBSPOT_CALLS_RECORDING_HOSTS": "127.0.0.1",
            **variables,
        }
        store = stack.enter_context(open_store(settings_from(ours)))
        process = stack.enter_context(_serving(folder, port, serve_options, ours))
        yield Installation(url, folder, portal, store, process)


@contextmanager
def _serving(
    folder: Path, port: int, options: Iterable[str], variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    log = folder / "serve.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "hubspot_calls", "serve", "--port", str(port), *options],
            cwd=folder,
            env=clean_environment({"HOME": str(folder), **variables}),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
        )
    try:
        _wait_for(log, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(log: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"serve did not start: {log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
