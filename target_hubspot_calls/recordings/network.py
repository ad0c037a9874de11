"""One request to a link, sent to an address that was checked: no second look-up can change it.

It must not know redirects, sizes or formats. It works on the bare transport, which has no
cookies, proxies, redirects or logs of its own.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib import metadata
from ipaddress import ip_address

import httpx

from target_hubspot_calls.recordings.addresses import IPAddress, Reach, reach_of
from target_hubspot_calls.recordings.links import HostList, Link
from target_hubspot_calls.recordings.status import RecordingError, blocked, unreachable

Resolver = Callable[[str], Awaitable[Sequence[str]]]

USER_AGENT = f"target-hubspot-calls/{metadata.version('target-hubspot-calls')}"
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_MOST_ADDRESSES_TRIED = 4


async def resolve(host: str) -> Sequence[str]:
    """Every address of the host, as this machine's resolver orders them. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def open_transport() -> httpx.AsyncHTTPTransport:
    """A transport without environment that keeps no connection: one made for a name, and checked
    for it, is never used for another name at the same address.
    """
    quieten_http_logs()
    return httpx.AsyncHTTPTransport(
        verify=tls(),
        trust_env=False,
        retries=0,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
    )


@cache
def tls() -> ssl.SSLContext:
    """One context for all requests: reading the certificates takes longer than a request."""
    return httpx.create_ssl_context(trust_env=False)


def quieten_http_logs() -> None:
    """Keeps addresses and headers, where signed links are, out of every log."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


class CheckedNetwork:
    """Asks public addresses, and private ones of hosts that the list names."""

    def __init__(
        self, hosts: HostList, *, resolver: Resolver, transport: httpx.AsyncBaseTransport
    ) -> None:
        self._hosts = hosts
        self._resolver = resolver
        self._transport = transport

    async def aclose(self) -> None:
        """Closes the transport."""
        await self._transport.aclose()

    async def get(self, link: Link) -> httpx.Response:
        """The link's answer, its body unread; the caller closes it. Raises RecordingError."""
        addresses = await self._checked_addresses(link)
        failure: httpx.HTTPError | None = None
        for address in addresses[:_MOST_ADDRESSES_TRIED]:
            try:
                return await self._transport.handle_async_request(_request(link, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as err:
                failure = err
            except httpx.HTTPError as err:
                failure = err
                break
        name = type(failure).__name__
        raise unreachable(f"{link.host} could not be asked ({name}).", retryable=True) from failure

    async def _checked_addresses(self, link: Link) -> Sequence[IPAddress]:
        """All addresses of the link's host, each of them allowed. Raises RecordingError."""
        if not self._hosts.admits(link):
            raise blocked("The recording's host is not among recording_hosts.")
        named = self._hosts.names(link)
        if not link.is_plain_https and not named:
            raise blocked("The recording's link is not https on port 443.")
        addresses = [link.address] if link.address else await self._resolve(link)
        reaches = {reach_of(address) for address in addresses}
        lowest = Reach.PRIVATE if named else Reach.PUBLIC
        if min(reaches) < lowest:
            raise blocked("The recording's host is not on the public internet.")
        if not link.is_plain_https and reaches != {Reach.PRIVATE}:
            raise blocked("The recording's link is not https on port 443.")
        return addresses

    async def _resolve(self, link: Link) -> list[IPAddress]:
        try:
            addresses = [ip_address(text) for text in await self._resolver(link.host)]
        except (OSError, ValueError) as err:
            for_now = isinstance(err, socket.gaierror) and err.errno == socket.EAI_AGAIN
            raise _unknown_host(link, retryable=for_now) from err
        if not addresses:
            raise _unknown_host(link, retryable=False)
        return addresses


def _unknown_host(link: Link, *, retryable: bool) -> RecordingError:
    return unreachable(f"{link.host} is not known to the resolver.", retryable=retryable)


def _request(link: Link, address: IPAddress) -> httpx.Request:
    """The request to the address, with Host and TLS name of the link.

    The body must come as it is stored: it is neither unpacked nor trusted to be small.
    """
    request = httpx.Request(
        "GET",
        link.url,
        headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        extensions={"timeout": TIMEOUT.as_dict()},
    )
    if link.address is None:
        request.extensions["sni_hostname"] = link.host
    request.url = link.url.copy_with(host=str(address))
    return request
