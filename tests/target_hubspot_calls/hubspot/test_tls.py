"""Names and certificates that cannot be trusted: nothing is sent, and it is tried later."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from target_hubspot_calls.errors import Unavailable
from target_hubspot_calls.hubspot import transport
from target_hubspot_calls.hubspot.client import HubSpotClient
from target_hubspot_calls.hubspot.engagements import EngagementKind, NewEngagement
from target_hubspot_calls.hubspot.retry import RetryPolicy

ACCOUNT = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"portalId":4711}'
NOW = datetime.now(UTC)
YEAR = timedelta(days=365)


class Authority:
    """A certificate authority of its own, which signs for whom and how long it is told."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self.certificate = self._signed(self.key, self.name, "authority", NOW + YEAR, ca=True)

    def trusting_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.load_verify_locations(
            cadata=self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        )
        return context

    def server_context(self, directory: Path, address: str, until: datetime) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = self._signed(key, subject, address, until, ca=False)
        path = directory / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _signed(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        address: str,
        until: datetime,
        *,
        ca: bool,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * YEAR)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def create_one(client: HubSpotClient) -> Any:
    note = NewEngagement("call-1", "301", {"hs_timestamp": "1"})
    return await client.create_engagements(EngagementKind.NOTE, [note])


def heard_by_a_server(
    context: ssl.SSLContext, ask: Callable[[str], Any]
) -> tuple[list[bytes], Any]:
    """What a TLS server on this machine read of HTTP, and what `ask` made of its address."""
    heard: list[bytes] = []

    async def scenario() -> Any:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(ACCOUNT)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await ask(f"https://127.0.0.1:{port}")

    return heard, asyncio.run(scenario())


def test_a_certificate_that_is_good_is_believed(
    authority: Authority,
    a_client: Callable[..., HubSpotClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "_tls", authority.trusting_context)

    async def ask(url: str) -> int:
        async with a_client(url) as client:
            return (await client.fetch_account()).portal_id

    context = authority.server_context(tmp_path, "127.0.0.1", NOW + YEAR)
    heard, portal_id = heard_by_a_server(context, ask)

    assert (len(heard), portal_id) == (1, 4711)


@pytest.mark.parametrize(
    ("address", "until", "trusted"),
    [
        ("127.0.0.1", NOW - YEAR, True),
        ("127.0.0.9", NOW + YEAR, True),
        ("127.0.0.1", NOW + YEAR, False),
    ],
    ids=["expired", "of another name", "of an unknown authority"],
)
def test_a_certificate_that_is_not_ends_it_before_anything_is_sent(
    address: str,
    until: datetime,
    trusted: bool,
    authority: Authority,
    a_client: Callable[..., HubSpotClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trusted:
        monkeypatch.setattr(transport, "_tls", authority.trusting_context)

    async def ask(url: str) -> None:
        async with a_client(url, retry=RetryPolicy(tries=2)) as client:
            with pytest.raises(Unavailable):
                await create_one(client)

    context = authority.server_context(tmp_path, address, until)
    heard, _ = heard_by_a_server(context, ask)

    assert heard == []


def test_a_name_that_cannot_be_resolved_is_tried_again_and_then_later(
    a_client: Callable[..., HubSpotClient], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def no_such_name(host: Any, *_: Any, **__: Any) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)

    async def scenario() -> None:
        async with a_client() as client:
            with pytest.raises(Unavailable):
                await create_one(client)

    asyncio.run(scenario())

    assert len(asked) == 3
    assert len(clock.slept) == 2
