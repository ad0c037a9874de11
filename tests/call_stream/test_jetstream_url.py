from pathlib import Path

import pytest

from call_stream.jetstream_url import JetStreamUrl, parse_jetstream_url
from call_stream.stream import UnsupportedStreamUrl


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nats://h", JetStreamUrl((("h", 4222),))),
        ("NATS://h:1/", JetStreamUrl((("h", 1),))),
        ("nats://h:1/CALLS", JetStreamUrl((("h", 1),), "CALLS")),
        ("nats://a,b:2,[::1]:3,[::1]/C", JetStreamUrl(
            (("a", 4222), ("b", 2), ("::1", 3), ("::1", 4222)), "C")),
        ("nats://h/C?replicas=3", JetStreamUrl((("h", 4222),), "C", 3)),
        ("tls://h/C", JetStreamUrl((("h", 4222),), "C", tls=True)),
        ("nats://ada:p%40ss%2Fw@h,h2/C", JetStreamUrl(
            (("h", 4222), ("h2", 4222)), "C", user="ada", password="p@ss/w")),
        ("nats://to%3Aken@h/C", JetStreamUrl((("h", 4222),), "C", token="to:ken")),
        ("nats://h/C?credentials=/etc/my%20key.creds&monitoring=9222", JetStreamUrl(
            (("h", 4222),), "C", credentials=Path("/etc/my key.creds"), monitoring_port=9222)),
        ("nats://h/C?tls_ca=/ca.pem&tls_cert=/c.pem&tls_key=/k.pem", JetStreamUrl(
            (("h", 4222),), "C", tls=True, tls_ca=Path("/ca.pem"), tls_cert=Path("/c.pem"),
            tls_key=Path("/k.pem"))),
    ],
)  # fmt: skip
def test_a_url_says_servers_secrets_stream_and_options(text, expected):
    assert parse_jetstream_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "nats:",
        "nats://",
        "nats:h/C",
        "nats:///C",
        "nats://h:0",
        "nats://h:65536",
        "nats://h:x",
        "nats://h,/C",
        "nats://h h/C",
        "nats://h\n/C",
        "nats://h/a.b",
        "nats://h/a/b",
        "nats://h/*",
        "nats://h/KV_x",
        "nats://h/OBJ_x",
        f"nats://h/{'x' * 65}",
        "nats://h/C#x",
        "nats://@h/C",
        "nats://:hunter2@h/C",
        "nats://u:@h/C",
        "nats://u:hunter2@h,u:hunter2@h2/C",
        "nats://u:hunter2@x@h/C",
        "nats://u:hunter2@h/C?replicas=0",
        "nats://u:hunter2@h/C?replicas=6",
        "nats://u:hunter2@h/C?replicas=three",
        "nats://u:hunter2@h/C?replicas=²",
        "nats://u:hunter2@h/C?replicas=1&replicas=3",
        "nats://u:hunter2@h/C?replicas=",
        "nats://u:hunter2@h/C?hunter2=1",
        "nats://u:hunter2@h/C?credentials=/x",
        "nats://h/C?tls_key=/x",
        "nats://h/C?monitoring=0",
    ],
)
def test_a_url_that_would_have_to_be_guessed_at_is_refused_without_its_secrets(text):
    with pytest.raises(UnsupportedStreamUrl, match="The call stream URL") as caught:
        parse_jetstream_url(text)

    assert "hunter2" not in str(caught.value)


def test_the_text_of_a_parsed_url_shows_no_secret():
    urls = [parse_jetstream_url(f"nats://{secret}@h/C") for secret in ("u:hunter2", "hunter2")]

    assert "hunter2" not in repr(urls)
    assert all(url.has_secret for url in urls)
