import pytest

from receiver.settings import ReceiverSettings


def test_the_process_says_that_it_lives(receiver):
    answer = receiver.client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_the_receiver_says_that_it_is_ready(receiver):
    answer = receiver.client.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"store": "ok", "stream": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/healthz/", 404, "not_found"),
        ("GET", "//healthz", 404, "not_found"),
        ("POST", "/api/webhooks", 404, "not_found"),
        ("GET", "/" + "a" * 8000, 404, "not_found"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("DELETE", "/readyz", 405, "method_not_allowed"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_errors_have_the_contracts_form(receiver, method, path, status, code):
    answer = receiver.client.request(method, receiver.url + path)

    assert answer.status_code == status
    content = answer.json()
    assert (content["success"], content["code"]) == (False, code)
    assert content["error"].endswith(".")
    assert "server" not in answer.headers


def test_settings_that_cannot_work_are_refused_all_at_once():
    with pytest.raises(ValueError, match=r"max_body_bytes.*webhook_cache_s") as caught:
        ReceiverSettings(max_body_bytes=10**9, webhook_cache_s=60)

    assert "retry_after_s" not in str(caught.value)
