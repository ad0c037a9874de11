from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from target_hubspot_calls.recordings.lifetime import is_alive

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
R2 = "https://acct.r2.cloudflarestorage.com/hipaa-recordings/c.wav"
OWN = "https://recordings.harbor.example/c.wav"


def signed(url: str, at: str = "20261120T114500Z", life_s: object = 1800) -> str:
    return f"{url}?X-Amz-Date={at}&X-Amz-Expires={life_s}&X-Amz-Signature=abc"


@pytest.mark.parametrize(
    ("url", "expires_at", "alive"),
    [
        (R2, NOW + timedelta(minutes=1), True),
        (R2, NOW, False),
        (OWN, NOW - timedelta(minutes=1), False),
        (signed(R2), None, True),
        (signed(R2, "20261120T112959Z"), None, False),
        (signed(OWN, "20261119T112959Z"), None, False),
        (signed(R2, "20261399T112959Z"), None, False),
        (signed(R2, life_s="²"), None, False),
        (R2, None, False),
        ("https://storage.vapi.ai/c.wav", None, False),
        ("https://notstorage.vapi.ai/c.wav", None, True),
        (OWN, None, True),
        ("https://[nonsense", None, False),
    ],
)
def test_a_link_lives_until_it_expires_unless_its_store_is_private(url, expires_at, alive):
    assert is_alive(url, expires_at, NOW) is alive
