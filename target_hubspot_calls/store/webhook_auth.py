"""The ways a sender can prove itself to a webhook, and the options of each, named as VAPI has them.

Pure: checks that options make sense; must not know a request, a secret or a table.
Source: VAPI's BearerAuthenticationPlan and HMACAuthenticationPlan (API reference, read 2026-11-22).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from target_hubspot_calls.errors import SettingsError

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# They say how a request is framed or named; a sender cannot put a proof there.
_OCCUPIED = frozenset(
    {
        *("connection", "content-encoding", "content-length", "content-type", "expect", "host"),
        *("te", "trailer", "transfer-encoding", "upgrade", "x-request-id"),
    }
)
_PREFIX = re.compile(r"[!-~]{0,32}")
_BRACED = re.compile(r"\{[^{}]*\}|[{}]")
_LONGEST_FORMAT = 500


class WebhookAuth(StrEnum):
    """How a sender proves itself."""

    SECRET = "secret"  # noqa: S105 - a word of the contract
    BEARER = "bearer"
    HEADER = "header"
    HMAC = "hmac"
    NONE = "none"


class HmacAlgorithm(StrEnum):
    """Hash functions that VAPI signs with."""

    SHA256 = "sha256"
    SHA512 = "sha512"
    SHA1 = "sha1"


class HmacEncoding(StrEnum):
    """How a signature is written."""

    HEX = "hex"
    BASE64 = "base64"


class Part(StrEnum):
    """What a payload format can name."""

    BODY = "{body}"
    TIMESTAMP = "{timestamp}"
    METHOD = "{method}"
    URL = "{url}"
    MESSAGE_ID = "{svix-id}"


def _header_faults(what: str, name: str) -> list[str]:
    if not _HEADER_NAME.fullmatch(name):
        return [f"{what} must be a header name of at most 100 characters"]
    if name.lower() in _OCCUPIED:
        return [f"{what} cannot be {name}, which says something else"]
    return []


def _refuse(faults: list[str]) -> None:
    if faults:
        raise SettingsError(faults)


@dataclass(frozen=True)
class SecretHeader:
    """The secret itself stands in a header, perhaps behind `Bearer`. Raises SettingsError."""

    header: str = "X-Vapi-Secret"
    bearer_prefix: bool = False

    def __post_init__(self) -> None:
        _refuse(_header_faults("the header", self.header))


@dataclass(frozen=True)
class HmacPlan:
    """A signature over the request stands in a header. Raises SettingsError with every fault."""

    algorithm: str = HmacAlgorithm.SHA256
    encoding: str = HmacEncoding.HEX
    prefix: str = ""
    signature_header: str = "x-signature"
    timestamp_header: str = "x-timestamp"
    include_timestamp: bool = True
    payload_format: str = "{timestamp}.{body}"
    message_id_header: str | None = None
    secret_is_base64: bool = False

    def __post_init__(self) -> None:
        _refuse([*self._header_faults(), *self._word_faults(), *self._format_faults()])

    @property
    def signs_timestamp(self) -> bool:
        """Whether a captured request is worthless after a while."""
        return Part.TIMESTAMP in self.payload_parts

    @property
    def payload_parts(self) -> tuple[str, ...]:
        """The payload format in order: each a `Part`, or text that stands for itself."""
        parts: list[str] = []
        end = 0
        for found in _BRACED.finditer(self.payload_format):
            parts += [self.payload_format[end : found.start()], found[0]]
            end = found.end()
        return tuple(part for part in [*parts, self.payload_format[end:]] if part)

    def _header_faults(self) -> list[str]:
        named = {"the signature header": self.signature_header}
        if self.include_timestamp:
            named["the timestamp header"] = self.timestamp_header
        if self.message_id_header is not None:
            named["the message id header"] = self.message_id_header
        faults = [fault for what, name in named.items() for fault in _header_faults(what, name)]
        if len({name.lower() for name in named.values()}) < len(named):
            faults.append("signature, timestamp and message id need a header each")
        return faults

    def _word_faults(self) -> list[str]:
        faults = []
        if self.algorithm not in list(HmacAlgorithm):
            faults.append(f"the algorithm must be one of {', '.join(HmacAlgorithm)}")
        if self.encoding not in list(HmacEncoding):
            faults.append(f"the encoding must be one of {', '.join(HmacEncoding)}")
        if not _PREFIX.fullmatch(self.prefix):
            faults.append("the prefix must be at most 32 printable ASCII characters, no spaces")
        return faults

    def _format_faults(self) -> list[str]:
        if len(self.payload_format) > _LONGEST_FORMAT:
            return [f"the payload format must have at most {_LONGEST_FORMAT} characters"]
        named = _BRACED.findall(self.payload_format)
        faults = []
        if any(name not in list(Part) for name in named):
            faults.append(f"the payload format can name only {' '.join(Part)}")
        if named.count(Part.BODY) != 1:
            faults.append("the payload format must name {body} once, or the body is not signed")
        if Part.TIMESTAMP in named and not self.include_timestamp:
            faults.append("the payload format names {timestamp}, but no timestamp is sent")
        if Part.MESSAGE_ID in named and self.message_id_header is None:
            faults.append("the payload format names {svix-id}, but no message id header is given")
        return faults


STANDARD_WEBHOOKS = HmacPlan(
    encoding=HmacEncoding.BASE64,
    prefix="v1,",
    signature_header="webhook-signature",
    timestamp_header="webhook-timestamp",
    payload_format="{svix-id}.{timestamp}.{body}",
    message_id_header="webhook-id",
    secret_is_base64=True,
)
"""The form of standardwebhooks.com."""

AuthOptions = SecretHeader | HmacPlan | None

_DEFAULTS: Mapping[WebhookAuth, AuthOptions] = {
    WebhookAuth.SECRET: SecretHeader(),
    WebhookAuth.BEARER: SecretHeader("Authorization", bearer_prefix=True),
    WebhookAuth.HMAC: HmacPlan(),
    WebhookAuth.NONE: None,
}


def settle_options(auth: WebhookAuth, options: AuthOptions = None) -> AuthOptions:
    """The options a webhook of this kind works by: those given, or VAPI's defaults.

    Raises SettingsError for options of another kind, or none where there is no default.
    """
    if options is None:
        if auth not in _DEFAULTS:
            raise SettingsError([f"auth {auth} needs the name of the header"])
        return _DEFAULTS[auth]
    fits = {
        WebhookAuth.SECRET: options == SecretHeader(),
        WebhookAuth.BEARER: isinstance(options, SecretHeader),
        WebhookAuth.HEADER: isinstance(options, SecretHeader) and not options.bearer_prefix,
        WebhookAuth.HMAC: isinstance(options, HmacPlan),
    }
    if not fits.get(auth, False):
        raise SettingsError([f"auth {auth} does not take these options"])
    return options


def to_json_options(options: AuthOptions) -> dict[str, Any] | None:
    """The options as they are stored: all of them, so that a new default changes no webhook."""
    return None if options is None else asdict(options)


def parse_options(auth: WebhookAuth, stored: object) -> AuthOptions:
    """The options as stored. Raises SettingsError for any this version does not know."""
    if stored is None:
        return settle_options(auth)
    kind = HmacPlan if auth is WebhookAuth.HMAC else SecretHeader
    known = {field.name: field.type for field in fields(kind)}
    if not isinstance(stored, dict) or stored.keys() != known.keys():
        raise SettingsError([f"the stored options of auth {auth} are not those of this version"])
    for name, value in stored.items():
        if not _is_of(known[name], value):
            raise SettingsError([f"the stored option {name} of auth {auth} is damaged"])
    return settle_options(auth, kind(**stored))


def _is_of(written_type: object, value: object) -> bool:
    kinds = {"str": (str,), "bool": (bool,), "str | None": (str, type(None))}
    return isinstance(value, kinds[str(written_type)])
