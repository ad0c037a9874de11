"""The whole receiver as `serve` runs it, in this process, with two workspaces in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from call_stream.stream import open_reader, open_writer
from hubspot_calls.receiver_app import build_receiver
from hubspot_calls.rooms import Store, open_store, open_sync_log_file
from hubspot_calls.settings import settings_from
from receiver.app import Receiver
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.database import is_shared
from target_hubspot_calls.sync_log.log import drain
from target_hubspot_calls.tokens import TokenSet

ADA = Workspace("ada-canary", "analytics-canary")
GRACE = Workspace("grace", "compilers")
PUBLIC_URL = "http://127.0.0.1:8000"


@dataclass
class WholeReceiver:
    """The application, a client of it, and the store behind it."""

    app: Receiver
    client: TestClient
    store: Store
    keys: dict[Workspace, str]

    @property
    def engine(self) -> Engine:
        return self.store.engine

    def ask(self, method: str, path: str, *, of: Workspace | None = ADA, **options: Any) -> Any:
        headers = options.pop("headers", {})
        if of is not None:
            headers = {"Authorization": f"Bearer {self.keys[of]}"} | headers
        return self.client.request(method, path, headers=headers, follow_redirects=False, **options)


def fill(store: Store) -> None:
    """Gives each workspace calls of its own, ada's with canaries in every field."""
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for owner, canary, number in ((ADA, "canary", "+12025550177"), (GRACE, "hers", "+12025550102")):
        outcomes = {
            f"{canary}-missed": Outcome(
                Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message=f"{canary} message"
            ),
            f"{canary}-written": Outcome(
                Status.SUCCESS,
                Reason.CREATED,
                contact_id=f"{canary}-contact",
                engagement_id=f"{canary}-note",
                portal_id=77,
            ),
        }
        for call_id, outcome in outcomes.items():
            record = {
                "id": call_id,
                "customer_number": number,
                "summary": f"{canary} summary",
                "recording_url": f"https://recordings.example/{call_id}.wav",
                "recording_expires_at": "2099-01-01T00:00:00Z",
                "started_at": "2026-11-20T11:00:00Z",
            }
            store.ledger.accept([parse_call(record, owner)], now=at)
            (claim,) = store.ledger.claim(owner, holder="r/1", limit=9, for_s=9, now=at)
            store.ledger.settle([(claim, outcome)], holder="r/1", kind="note", run_id="", now=at)
    if not is_shared(store.engine):
        drain(store.outbox, open_sync_log_file(store.settings))


def start_receiver(
    directory: Path, *, enter: bool = True, **variables: str
) -> tuple[WholeReceiver, Callable[[], None]]:
    """The receiver and how to stop it; somebody else runs it if it is not to be entered."""
    settings = settings_from(
        {
            "HUBSPOT_CALLS_DATA_DIR": str(directory),
            "HUBSPOT_CALLS_PUBLIC_URL": PUBLIC_URL,
            "HUBSPOT_CLIENT_ID": "app-id",
            "HUBSPOT_CLIENT_SECRET": "app-secret",
            **variables,
        }
    )
    opened = open_store(settings)
    store = opened.__enter__()
    app = build_receiver(
        settings,
        store,
        open_writer(settings.stream_url),
        load_backlog=partial(open_reader(settings.stream_url).load_backlog, "hubspot-calls"),
    )
    client = TestClient(app, base_url=PUBLIC_URL, raise_server_exceptions=False)
    if enter:
        client.__enter__()
    keys = {
        owner: store.keys.create(owner.user_id, owner.workspace_id)[1] for owner in (ADA, GRACE)
    }
    fill(store)
    store.connections.add_oauth(
        ADA.user_id,
        ADA.workspace_id,
        TokenSet(
            access_token="canary-access-token",
            refresh_token="canary-refresh-token",
            expires_at=datetime(2099, 1, 1, tzinfo=UTC),
            scopes=("oauth", "canary.scope"),
            portal_id=77,
        ),
    )

    def stop() -> None:
        if enter:
            client.__exit__(None, None, None)
        opened.__exit__(None, None, None)

    return WholeReceiver(app, client, store, keys), stop


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[WholeReceiver]:
    receiver, stop = start_receiver(tmp_path / "data")
    yield receiver
    stop()


@pytest.fixture(scope="module")
def shared_whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeReceiver]:
    """One that only readers share."""
    receiver, stop = start_receiver(tmp_path_factory.mktemp("whole") / "data")
    yield receiver
    stop()
