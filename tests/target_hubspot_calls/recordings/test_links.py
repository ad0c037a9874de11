from __future__ import annotations

import pytest

from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.recordings.links import HostList, parse_link, to_browser_link
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus

SIGNED = "https://acct.r2.cloudflarestorage.com/b/c.wav?X-Amz-Signature=a%2Fb%3D&x=%7E+y'z"


def test_a_signed_link_keeps_every_character_of_its_signature():
    link = parse_link(SIGNED)

    assert (str(link.url), link.host) == (SIGNED, "acct.r2.cloudflarestorage.com")


def test_a_host_is_compared_in_lower_case_and_ascii():
    assert parse_link("https://STORAGE.Vapi.AI/x").host == "storage.vapi.ai"
    assert parse_link("https://müller.example/x").host == "xn--mller-kva.example"
    assert parse_link("https://[2606:4700:0:0::1111]/x").host == "2606:4700::1111"


@pytest.mark.parametrize(
    "written",
    [
        "", "nonsense", "//host/x", "/x", "file:///etc/passwd", "ftp://files.example/x",
        "gopher://files.example/x", "data:audio/wav;base64,UklGRg==", "javascript:alert(1)",
        "https://", "https:///x", "https:/files.example/x", "https://user@files.example/x",
        "https://user:pw@files.example/x", "https://@files.example/x",
        "https://storage.vapi.ai@127.0.0.1/x", "https://storage.vapi.ai\\@127.0.0.1/x",
        "https://storage.vapi.ai\\.evil.example/x", "https://exam\tple.com/x",
        "https://example.com\n/x", " https://example.com/x", "https://example.com/a b",
        "https://example.com/\u00a0", "https://①②⑦.0.0.1/x", "https://\uff11\uff12\uff17.0.0.1/x",
        "https://127.1/x", "https://2130706433/x", "https://0x7f000001/x", "https://0177.0.0.1/x",
        "https://127.0.0.0x1/x", "https://1.2.3.4.5/x", "https://256.1.1.1/x", "https://a..b/x",
        "https://-a.example/x", "https://files.example./x", "https://127.0.0.1./x",
        "https://[fe80::1%25eth0]/x", "https://[::1/x", "https://files.example:99999/x",
        "https://files.example:0/x", "https://files.example/\ud800",
        "https://" + "a" * 64 + ".example/x", "https://" + "a." * 130 + "example/x",
        "https://files.example/" + "a" * 70_000,
    ],
    ids=lambda text: ascii(text[:40]),
)  # fmt: skip
def test_a_link_that_two_parsers_could_read_in_two_ways_is_blocked(written):
    with pytest.raises(RecordingError) as caught:
        parse_link(written)

    assert caught.value.status is RecordingStatus.BLOCKED_ADDRESS
    assert "files.example" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/b.wav?s=1", "https://files.example/b.wav?s=1"),
        ("b.wav", "https://files.example/a/b.wav"),
        ("//other.example/b.wav", "https://other.example/b.wav"),
        ("https://other.example/b.wav#t", "https://other.example/b.wav"),
        ("?s=2", "https://files.example/a/call.wav?s=2"),
    ],
)
def test_a_redirect_is_read_as_a_browser_would(location, expected):
    link = parse_link("https://files.example/a/call.wav?s=1")

    assert str(link.join(location).url) == expected


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "//u@127.0.0.1/", "/\\127.0.0.1/", "/a\tb", "data:,x"]
)
def test_a_redirect_is_held_to_the_same_rules(location):
    with pytest.raises(RecordingError) as caught:
        parse_link("https://files.example/a").join(location)

    assert caught.value.status is RecordingStatus.BLOCKED_ADDRESS


@pytest.mark.parametrize(
    ("entries", "host", "admitted"),
    [
        ([], "files.example", True),
        (["storage.vapi.ai"], "storage.vapi.ai", True),
        (["storage.vapi.ai"], "eu.storage.vapi.ai", True),
        (["Storage.Vapi.AI"], "storage.vapi.ai", True),
        (["storage.vapi.ai"], "evil-storage.vapi.ai", False),
        (["storage.vapi.ai"], "storage.vapi.ai.evil.com", False),
        (["storage.vapi.ai"], "evil-storage.vapi.ai.evil.com", False),
        (["storage.vapi.ai"], "stоrage.vapi.ai", False),  # noqa: RUF001  a Cyrillic o
        ([".vapi.ai"], "storage.vapi.ai", True),
        ([".vapi.ai"], "vapi.ai", False),
        (["müller.example"], "xn--mller-kva.example", True),
        (["127.0.0.1"], "127.0.0.1", True),
        (["[::1]"], "[::1]", True),
        (["::1"], "[0:0::1]", True),
        (["127.0.0.1"], "127.0.0.2", False),
    ],
)
def test_a_list_of_hosts_admits_them_and_what_is_below(entries, host, admitted):
    assert HostList(entries).admits(parse_link(f"https://{host}/x")) is admitted


def test_only_the_very_host_is_named_and_may_be_private():
    hosts = HostList(["files.example"])

    assert hosts.names(parse_link("https://files.example/x"))
    assert not hosts.names(parse_link("https://a.files.example/x"))


def test_every_entry_that_is_no_host_is_refused_at_once():
    entries = ["", ".", "https://a.example", "a.example/x", "a.example:443", "a b", "*.example",
               "127.1", ".127.0.0.1", "u@a.example", "fine.example"]  # fmt: skip

    with pytest.raises(SettingsError) as caught:
        HostList(entries)

    assert len(caught.value.faults) == 10


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (SIGNED, SIGNED),
        ("https://files.example/ü", "https://files.example/%C3%BC"),
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000/x"),
        ("http://files.example/x", None),
        ("https://a@files.example/", None),
        ("javascript:alert(1)", None),
        ("https://files.example/\r\nSet-Cookie: a=b", None),
    ],
)
def test_a_browser_is_sent_to_https_or_to_this_machine(written, expected):
    assert to_browser_link(written) == expected
