"""A recording's link, read by one parser and held to the rules that need no resolver.

What comes out is what is connected to: nobody parses the written text a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

import httpx

from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.recordings.addresses import IPAddress
from target_hubspot_calls.recordings.status import RecordingError, blocked

_UNFIT = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_USER_PART = re.compile(r"[^/?#]*//[^/?#]*@")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
# Resolvers read 127.1, 2130706433 and 0x7f.1 as addresses (WHATWG URL, "ends in a number").
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z")

_LARGEST_PORT = 65_535


@dataclass(frozen=True)
class Link:
    """One place to ask for a recording; `host` is ASCII, lower-case and without brackets."""

    url: httpx.URL
    host: str

    @cached_property
    def address(self) -> IPAddress | None:
        """The host as an IP address, None if it is a name."""
        return _to_address(self.host)

    @property
    def is_plain_https(self) -> bool:
        """True for https on port 443, the only kind the public internet is asked by."""
        return self.url.scheme == "https" and self.url.port in (None, 443)

    @property
    def is_loopback(self) -> bool:
        """True if the host is this machine by its name or address, before any look-up."""
        return self.host == "localhost" or (self.address is not None and self.address.is_loopback)

    def join(self, location: str) -> Link:
        """Where this link redirects to. Raises RecordingError (blocked_address)."""
        _refuse_unfit(location)
        try:
            return parse_link(str(self.url.join(location)))
        except httpx.InvalidURL as err:
            raise blocked("The recording's link redirects to no web address.") from err


def parse_link(written: str) -> Link:
    """The link a text stands for. Raises RecordingError (blocked_address)."""
    _refuse_unfit(written)
    try:
        url = httpx.URL(written)
    except (httpx.InvalidURL, UnicodeError) as err:
        raise blocked("The recording's link is no web address.") from err
    if url.scheme not in ("https", "http"):
        raise blocked("The recording's link is no https address.")
    host = _to_host(url.raw_host.decode("ascii"))
    if host is None or url.userinfo or not 0 < _port(url) <= _LARGEST_PORT:
        raise blocked("The recording's link names no host that can be asked.")
    return Link(url.copy_with(fragment=None), host)


def to_browser_link(written: str) -> str | None:
    """The link as a browser may be sent to it: https, or http on this machine; else None."""
    try:
        link = parse_link(written)
    except RecordingError:
        return None
    return str(link.url) if link.url.scheme == "https" or link.is_loopback else None


def _refuse_unfit(written: str) -> None:
    """Raises RecordingError where parsers are known to disagree."""
    if _UNFIT.search(written) or _USER_PART.match(written):
        raise blocked("The recording's link has characters or a user part that no link needs.")


class HostList:
    """The hosts recordings may come from; none given means any public one.

    `example.com` stands for itself and all below it, `.example.com` only for what is below.
    Raises SettingsError with every entry that is no host.
    """

    def __init__(self, written: Iterable[str] = ()) -> None:
        faults: list[str] = []
        self._exact: set[str] = set()
        self._suffixes: set[str] = set()
        for entry in written:
            below = entry.startswith(".")
            host = _to_listed_host(entry.removeprefix("."))
            if host is None or (below and _to_address(host)):
                faults.append(f"recording_hosts: {entry[:80]!r} is no host name or IP address")
                continue
            if not below:
                self._exact.add(host)
            if not _to_address(host):
                self._suffixes.add(f".{host}")
        if faults:
            raise SettingsError(faults)

    def admits(self, link: Link) -> bool:
        """True if the link's host may be asked at all."""
        if not self._exact and not self._suffixes:
            return True
        return self.names(link) or any(link.host.endswith(suffix) for suffix in self._suffixes)

    def names(self, link: Link) -> bool:
        """True if the list has this very host, which alone lets it be a private one."""
        return link.host in self._exact


def _port(url: httpx.URL) -> int:
    return 443 if url.port is None else url.port


def _to_host(raw_host: str) -> str | None:
    """The host as it is compared, None if it is neither a plain name nor a canonical address."""
    host = raw_host.lower()
    address = _to_address(host)
    if address is not None:
        return str(address)
    if not _HOST_NAME.match(host) or _ENDS_IN_A_NUMBER.match(host):
        return None
    return host


def _to_listed_host(entry: str) -> str | None:
    address = _to_address(entry.removeprefix("[").removesuffix("]"))
    if address is not None:
        return str(address)
    try:
        url = httpx.URL(f"https://{entry}")
    except httpx.InvalidURL:
        return None
    only_a_host = url.raw_path == b"/" and url.port is None and not _UNFIT.search(entry)
    if not only_a_host or any(mark in entry for mark in "/?#@:"):
        return None
    return _to_host(url.raw_host.decode("ascii"))


def _to_address(host: str) -> IPAddress | None:
    if "%" in host:
        return None
    try:
        return ip_address(host)
    except ValueError:
        return None
