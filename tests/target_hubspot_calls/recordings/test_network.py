"""Which addresses are connected to, and under which names."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from target_hubspot_calls.recordings.fetch import RecordingFetcher
from target_hubspot_calls.recordings.network import resolve
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus
from tests.target_hubspot_calls.recordings.conftest import (
    PUBLIC,
    NoNetwork,
    a_redirect,
    a_resolver,
    a_response,
    a_source,
    a_wav,
    an_answer,
    no_sleep,
    read,
)

BLOCKED = RecordingStatus.BLOCKED_ADDRESS


def status_of(fetcher: RecordingFetcher, url: str) -> RecordingStatus | None:
    """How fetching ends; None if it ends well."""
    try:
        asyncio.run(read(fetcher, url))
    except RecordingError as err:
        return err.status
    return None


@pytest.mark.parametrize(
    "url",
    [
        "http://{host}/c.wav", "http://{host}:443/c.wav", "https://{host}:6379/c.wav",
        "https://{host}:80/c.wav", "file:///etc/passwd", "ftp://{host}/c.wav",
        "gopher://{host}/c.wav", "data:audio/wav;base64,UklGRg==", "//{host}/c.wav",
        "https://user:pw@{host}/c.wav",
    ],
)  # fmt: skip
def test_a_public_host_is_asked_by_https_on_port_443_alone(url):
    transport = NoNetwork(a_response(a_wav()))
    resolver = a_resolver(files_example=[PUBLIC])
    fetcher = RecordingFetcher(resolver=resolver, transport=transport)

    assert status_of(fetcher, url.format(host="files.example")) is BLOCKED
    assert transport.seen == []


def test_a_listed_public_host_is_held_to_https_on_port_443_too():
    transport = NoNetwork(a_response(a_wav()))
    resolver = a_resolver(files_example=[PUBLIC])
    fetcher = RecordingFetcher(["files.example"], resolver=resolver, transport=transport)

    assert status_of(fetcher, "http://files.example/c.wav") is BLOCKED
    assert status_of(fetcher, "https://files.example:8443/c.wav") is BLOCKED
    assert transport.seen == []
    assert status_of(fetcher, "https://files.example/c.wav") is None


def test_a_host_that_is_not_listed_is_not_even_looked_up():
    resolver = a_resolver(files_example=[PUBLIC])
    transport = NoNetwork(a_response(a_wav()))
    fetcher = RecordingFetcher(["storage.vapi.ai"], resolver=resolver, transport=transport)

    assert status_of(fetcher, "https://files.example/c.wav") is BLOCKED
    assert (resolver.asked, transport.seen) == ([], [])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
        "①②⑦.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "0.0.0.0", "[::]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "127.0.0.1.", "localhost.",
    ],
)  # fmt: skip
def test_nobody_connects_to_this_machine_however_it_is_written(host):
    async def main() -> tuple[RecordingStatus, int]:
        async with a_source(an_answer(a_wav())) as source, RecordingFetcher() as fetcher:
            for url in (f"https://{host}:{source.port}/c.wav", f"https://{host}/c.wav"):
                with pytest.raises(RecordingError) as caught:
                    await fetcher.open(url).__aenter__()
            return caught.value.status, source.connections

    assert asyncio.run(main()) == (BLOCKED, 0)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",
        "100.100.100.200", "0.0.0.0", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
        "::127.0.0.1", "192.0.0.192", "224.0.0.1", "ff0e::1", "::ffff:169.254.169.254", "::1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["named", "literal", "beside a public one"])
def test_an_address_that_is_not_public_is_never_connected_to(address, how):
    transport = NoNetwork(a_response(a_wav()))
    literal = f"[{address}]" if ":" in address else address
    host = literal if how == "literal" else "files.example"
    answers = [PUBLIC, address] if how == "beside a public one" else [address]
    fetcher = RecordingFetcher(resolver=a_resolver(files_example=answers), transport=transport)

    assert status_of(fetcher, f"https://{host}/c.wav") is BLOCKED
    assert transport.seen == []


def test_the_address_that_was_checked_is_the_one_connected_to():
    # A resolver that answers differently the second time: rebinding.
    resolver = a_resolver(files_example=[[PUBLIC], ["127.0.0.1"]])
    transport = NoNetwork(a_response(a_wav()))
    fetcher = RecordingFetcher(resolver=resolver, transport=transport)

    assert status_of(fetcher, "https://files.example/c.wav") is None
    assert resolver.asked == ["files.example"]
    request = transport.seen[0]
    assert request.url.host == PUBLIC
    assert request.headers["host"] == "files.example"
    assert request.extensions["sni_hostname"] == "files.example"


def test_a_host_that_turns_private_between_two_hops_is_blocked():
    resolver = a_resolver(files_example=[[PUBLIC], ["127.0.0.1"]])
    transport = NoNetwork(a_response(status=302, location="/again.wav"))
    fetcher = RecordingFetcher(resolver=resolver, transport=transport)

    assert status_of(fetcher, "https://files.example/c.wav") is BLOCKED
    assert transport.connected_to == [PUBLIC]


def test_the_next_address_is_tried_when_one_cannot_be_connected_to():
    addresses = ["2606:4700:4700::1111", PUBLIC]
    transport = NoNetwork(httpx.ConnectError("no route"), a_response(a_wav()))
    fetcher = RecordingFetcher(resolver=a_resolver(a_example=addresses), transport=transport)

    assert status_of(fetcher, "https://a.example/c.wav") is None
    assert transport.connected_to == addresses


@pytest.mark.parametrize(
    "location",
    ["http://other.example/c.wav", "https://127.0.0.1/c.wav", "https://inside.example/c.wav",
     "https://[::1]/", "file:///etc/passwd", "https://other.example:22/c.wav",
     "https://u:p@other.example/c.wav"],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_hop_of_a_redirect_is_checked(location, status):
    resolver = a_resolver(
        files_example=[PUBLIC], other_example=[PUBLIC], inside_example=["10.0.0.7"]
    )
    transport = NoNetwork(a_response(status=status, location=location), a_response(a_wav()))
    fetcher = RecordingFetcher(resolver=resolver, transport=transport)

    assert status_of(fetcher, "https://files.example/c.wav") is BLOCKED
    assert len(transport.seen) == 1


def test_a_public_host_cannot_send_us_to_this_machine():
    async def main() -> tuple[RecordingStatus, int]:
        async with a_source(an_answer(a_wav())) as inside:
            transport = NoNetwork(a_response(status=302, location=inside.url()))
            resolver = a_resolver(files_example=[PUBLIC])
            fetcher = RecordingFetcher(resolver=resolver, transport=transport)
            with pytest.raises(RecordingError) as caught:
                await read(fetcher, "https://files.example/c.wav")
            return caught.value.status, inside.connections

    assert asyncio.run(main()) == (BLOCKED, 0)


def test_a_redirect_to_another_public_host_is_followed_unless_hosts_are_listed():
    resolver = a_resolver(files_example=[PUBLIC], other_example=["1.1.1.1"])

    def fetcher(*hosts: str) -> RecordingFetcher:
        hop = a_response(status=302, location="https://other.example/c.wav")
        transport = NoNetwork(hop, a_response(a_wav()))
        return RecordingFetcher(hosts, resolver=resolver, transport=transport)

    assert status_of(fetcher(), "https://files.example/c.wav") is None
    assert status_of(fetcher("files.example"), "https://files.example/c.wav") is BLOCKED


def test_a_listed_private_host_may_be_asked_by_http_on_any_port(a_fetcher):
    async def main() -> bytes:
        async with a_source(an_answer(a_wav())) as source:
            return await read(a_fetcher(), source.url())

    assert asyncio.run(main()) == a_wav()


def test_a_host_below_a_listed_one_may_not_be_private(a_fetcher):
    async def main() -> tuple[RecordingStatus, int]:
        async with a_source(an_answer(a_wav())) as source:
            fetcher = a_fetcher("local.example", resolver=a_resolver(a_local_example=["127.0.0.1"]))
            with pytest.raises(RecordingError) as caught:
                await read(fetcher, source.url(host="a.local.example", scheme="https"))
            return caught.value.status, source.connections

    assert asyncio.run(main()) == (BLOCKED, 0)


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "::"])
def test_a_listed_host_never_leads_to_nobodys_address(address):
    transport = NoNetwork(a_response(a_wav()))
    resolver = a_resolver(files_example=[address])
    fetcher = RecordingFetcher(["files.example"], resolver=resolver, transport=transport)

    assert status_of(fetcher, "http://files.example/c.wav") is BLOCKED
    assert transport.seen == []


@pytest.mark.parametrize(
    ("answers", "asked"), [({}, 1), ({"files_example": []}, 1), ({"files_example": ["x"]}, 1)]
)
def test_a_host_that_nobody_knows_is_unreachable(answers, asked):
    resolver = a_resolver(**answers)
    fetcher = RecordingFetcher(resolver=resolver, transport=NoNetwork(), sleep=no_sleep)

    assert status_of(fetcher, "https://files.example/c.wav") is RecordingStatus.UNREACHABLE
    assert len(resolver.asked) == asked


def test_a_resolver_that_is_down_for_now_is_asked_again():
    asked = []

    async def down(host: str) -> list[str]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    fetcher = RecordingFetcher(resolver=down, transport=NoNetwork(), sleep=no_sleep, tries=3)

    assert status_of(fetcher, "https://files.example/c.wav") is RecordingStatus.UNREACHABLE
    assert len(asked) == 3


def test_no_proxy_of_the_environment_is_used(a_fetcher, monkeypatch):
    async def main() -> tuple[bytes, int]:
        async with a_source(an_answer(a_wav())) as source, a_source(an_answer()) as proxy:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
                monkeypatch.setenv(name, proxy.url(""))
            return await read(a_fetcher(), source.url()), proxy.connections

    assert asyncio.run(main()) == (a_wav(), 0)


def test_what_is_sent_has_no_cookie_no_credential_and_asks_for_the_bare_file(a_fetcher):
    async def main() -> list[bytes]:
        answer = a_redirect("/next.wav").replace(b"\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n", 1)
        async with a_source(answer, an_answer(a_wav())) as source:
            await read(a_fetcher(), source.url("/c.wav?sig=1#t"))
            return source.requests

    first, second = asyncio.run(main())

    assert first.startswith(b"GET /c.wav?sig=1 HTTP/1.1\r\n")
    assert second.startswith(b"GET /next.wav HTTP/1.1\r\n")
    for request in (first.lower(), second.lower()):
        assert b"accept-encoding: identity\r\n" in request
        assert b"user-agent: target-hubspot-calls/" in request
        assert not {b"cookie", b"authorization", b"referer"} & {
            line.partition(b":")[0] for line in request.splitlines()
        }


def test_the_machines_own_resolver_knows_this_machine():
    addresses = [ip_address(text) for text in asyncio.run(resolve("localhost"))]

    assert addresses
    assert all(address.is_loopback for address in addresses)


def a_certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of a server called `name`, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = directory / "server.pem"
    path.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(path)
    trusting = ssl.create_default_context(cadata=certificate.public_bytes(pem).decode())
    return served, trusting


@pytest.mark.parametrize("certified", ["files.example", "other.example"])
def test_tls_is_made_with_the_name_though_an_address_is_connected_to(tmp_path, certified):
    served, trusting = a_certificate(tmp_path, certified)

    async def main() -> tuple[bytes | RecordingStatus, list[str | None], list[bytes]]:
        async with a_source(an_answer(a_wav()), tls=served) as source:
            fetcher = RecordingFetcher(
                ["files.example"],
                resolver=a_resolver(files_example=["127.0.0.1"]),
                transport=httpx.AsyncHTTPTransport(verify=trusting, trust_env=False),
                tries=1,
            )
            url = source.url(host="files.example", scheme="https")
            try:
                got: bytes | RecordingStatus = await read(fetcher, url)
            except RecordingError as err:
                got = err.status
            hosts = [line for r in source.requests for line in r.splitlines() if b"Host" in line]
            port = str(source.port).encode()
            return got, source.server_names, [host.replace(port, b"PORT") for host in hosts]

    got, server_names, hosts = asyncio.run(main())

    assert server_names == ["files.example"]
    if certified == "files.example":
        assert (got, hosts) == (a_wav(), [b"Host: files.example:PORT"])
    else:
        assert (got, hosts) == (RecordingStatus.UNREACHABLE, [])
