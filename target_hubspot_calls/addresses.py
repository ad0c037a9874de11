"""Base addresses as settings give them: which are plain enough, and which may carry secrets.

Pure: looks at the text alone, and resolves and contacts nothing.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str | None) -> bool:
    """True if the host is this machine by its name or address, before any look-up."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def to_base_address(written: str) -> str:
    """The address without a slash at its end. Raises ValueError unless it is a plain web one."""
    parts = urlsplit(written)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://example.com")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must be a plain address, without credentials, query or fragment")
    return written.rstrip("/")


def to_safe_address(written: str) -> str:
    """A base address that secrets may travel to. Raises ValueError for plain http elsewhere."""
    address = to_base_address(written)
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError(
            "must be https, as secrets travel there, unless it is on this machine (loopback)"
        )
    return address


def to_origin(written: str) -> str:
    """The origin as browsers name it: scheme, host, and port unless it is the usual one.

    Raises ValueError for anything else than one site, and for plain http elsewhere than here.
    """
    address = to_safe_address(written)
    parts = urlsplit(address)
    if parts.path:
        raise ValueError("must be a site such as https://app.example.com, without a path")
    if "*" in address:
        raise ValueError("must name one site; a star is not taken")
    host = str(parts.hostname)
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"
