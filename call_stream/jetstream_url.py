"""What a `nats://` or `tls://` URL of a call stream says: servers, secrets, stream, options.

Knows the text alone; it must not connect to anything, nor need the driver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from call_stream.stream import UnsupportedStreamUrl

DEFAULT_STREAM = "HUBSPOT_CALLS"
DEFAULT_PORT = 4222
MONITORING_PORT = 8222
MOST_REPLICAS = 5
"""As many as JetStream allows."""

SCHEMES = ("nats", "tls")
FORM = "nats://[USER:PASSWORD@|TOKEN@]HOST:4222[,HOST2:4222]/STREAM?replicas=3"

_OPTIONS = ("replicas", "credentials", "tls_ca", "tls_cert", "tls_key", "monitoring")
_STREAM_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOST = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class JetStreamUrl:
    """A call stream on JetStream; its text shows no secret."""

    servers: tuple[tuple[str, int], ...]
    """Host and port of each, at least one."""
    stream: str = DEFAULT_STREAM
    replicas: int = 1
    """How many servers keep the stream when it is made."""
    tls: bool = False
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials: Path | None = None
    """File with a signed user and its seed, as NATS's own tools write it."""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    monitoring_port: int = MONITORING_PORT
    """Where the servers tell of themselves over HTTP, if they do."""

    @property
    def has_secret(self) -> bool:
        """Whether anything is sent that must not be overheard."""
        return bool(self.password or self.token)


def parse_jetstream_url(text: str) -> JetStreamUrl:
    """What the URL says. Raises UnsupportedStreamUrl, which repeats nothing secret."""
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in SCHEMES or not rest:
        raise _refused("is of another form")
    if "#" in rest or any(character.isspace() or not character.isprintable() for character in rest):
        raise _refused("holds a character that must be percent-encoded")
    location, _, query = rest.partition("?")
    authority, _, path = location.partition("/")
    options = _options(query)
    stream = path or DEFAULT_STREAM
    if not _STREAM_NAME.fullmatch(stream) or stream.startswith(("KV_", "OBJ_")):
        raise _refused("names no stream we can use: 1 to 64 letters, digits, '-' or '_'")
    user, password, token, hosts = _authority(authority)
    paths = {
        name: Path(options[name])
        for name in ("credentials", "tls_ca", "tls_cert", "tls_key")
        if name in options
    }
    if "tls_key" in paths and "tls_cert" not in paths:
        raise _refused("names a tls_key without its tls_cert")
    if "credentials" in paths and (user or token):
        raise _refused("names a credentials file beside a user or token: only one can count")
    return JetStreamUrl(
        servers=tuple(_server(host) for host in hosts.split(",")),
        stream=stream,
        replicas=_number(options, "replicas", most=MOST_REPLICAS, default=1),
        tls=scheme.lower() == "tls" or "tls_ca" in paths or "tls_cert" in paths,
        user=user,
        password=password,
        token=token,
        monitoring_port=_number(options, "monitoring", most=65_535, default=MONITORING_PORT),
        **paths,
    )


def _authority(text: str) -> tuple[str | None, str | None, str | None, str]:
    """User, password, token and the hosts."""
    secret, at, hosts = text.rpartition("@")
    if "@" in secret:
        # A second one is part of a password or stands before a second host: both would be guesses.
        raise _refused("has more than one '@': name the user once, percent-encode it elsewhere")
    if not at:
        return None, None, None, hosts
    user, colon, password = secret.partition(":")
    if not user or (colon and not password):
        raise _refused("has an empty user, password or token")
    if colon:
        return unquote(user), unquote(password), None, hosts
    return None, None, unquote(user), hosts


def _server(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or DEFAULT_PORT) if found else 0
    if not found or not 0 < port < 65_536:
        raise _refused("names no host, or one with a wrong port")
    return found["host"].strip("[]"), port


def _options(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise _refused(f"has an option that is none of {', '.join(_OPTIONS)}")
        if name in found or not value:
            raise _refused(f"has the option {name} twice or empty")
        found[name] = value
    return found


def _number(options: Mapping[str, str], name: str, *, most: int, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
        raise _refused(f"has an option {name} that is no number from 1 to {most}")
    return int(text)


def _refused(why: str) -> UnsupportedStreamUrl:
    return UnsupportedStreamUrl(f"The call stream URL {why}; supported is {FORM}.")
