"""Every family of errors, as the contract's error JSON."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.testclient import TestClient

from receiver.answers import Refusal
from receiver.failures import failure_handlers
from target_hubspot_calls.errors import SettingsError, StoreUnavailable, WrongEncryptionKey
from target_hubspot_calls.store.webhooks import NoSecretToRotate, UnknownWebhook
from target_hubspot_calls.sync_log.log import SyncLogBusy, SyncLogUnavailable


@pytest.mark.parametrize(
    ("error", "status", "code", "again"),
    [
        (Refusal(418, "teapot", "No coffee.", {"Retry-After": "7"}), 418, "teapot", "7"),
        (StoreUnavailable("/canary"), 503, "store_unavailable", "10"),
        (SyncLogBusy("/canary"), 503, "sync_log_busy", "2"),
        (SyncLogUnavailable("/canary"), 503, "sync_log_unavailable", "10"),
        (WrongEncryptionKey("/canary"), 503, "wrong_encryption_key", None),
        (HTTPException(404, "/canary"), 404, "not_found", None),
        (HTTPException(405, "/canary"), 405, "method_not_allowed", None),
        (HTTPException(413, "/canary"), 413, "body_too_large", None),
        (HTTPException(429, "/canary", {"Retry-After": "3"}), 429, "http_error", "3"),
        (ValueError("/canary"), 500, "internal_error", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_has_a_status_a_code_and_one_sentence(error, status, code, again):
    async def fail(request):
        raise error

    app = Starlette(routes=[Route("/", fail)], exception_handlers=failure_handlers())
    answer = TestClient(app, raise_server_exceptions=False).get("/")

    content = json.loads(answer.text)
    assert (answer.status_code, content["success"], content["code"]) == (status, False, code)
    assert content["error"].endswith(".")
    assert "canary" not in answer.text
    assert answer.headers.get("retry-after") == again


@pytest.mark.parametrize(
    ("error", "status", "code", "said"),
    [
        (UnknownWebhook("w-1"), 404, "not_found", "w-1"),
        (NoSecretToRotate("w-1"), 409, "no_secret", "w-1"),
        (SettingsError(["the key file /canary is gone"]), 500, "internal_error", "/canary"),
        (SyncLogBusy("process 4711 has /canary open"), 503, "sync_log_busy", "process 4711"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_log_says_what_an_answer_leaves_out(error, status, code, said, caplog):
    async def fail(request):
        raise error

    app = Starlette(routes=[Route("/", fail)], exception_handlers=failure_handlers())
    answer = TestClient(app, raise_server_exceptions=False).get("/")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    (record,) = (record for record in caplog.records if record.name == "receiver")
    assert said in record.getMessage()
    assert bool(record.exc_info) is (status == 500)
