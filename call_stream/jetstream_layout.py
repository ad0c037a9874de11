"""The JetStream stream and buckets of a call stream: made when missing, else looked at.

Knows settings and what they mean for a call; it must not read or write an entry.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js import errors as js_errors
from nats.js.kv import KeyValue
from nats.js.object_store import ObjectStore

from call_stream.jetstream_names import payload_bucket, position_bucket, subjects_of
from call_stream.jetstream_url import JetStreamUrl
from call_stream.stream import StreamError

DUPLICATE_WINDOW_S = 120.0
API_TIMEOUT_S = 3.0

_DAY_S = 86_400.0
_NAME_IN_USE = 10058
_SUBJECTS_OVERLAP = 10065
_NOT_CLUSTERED, _TOO_FEW_PEERS = 10074, 10005

logger = logging.getLogger("call_stream")


def context(client: Client) -> JetStreamContext:
    """The driver's face of JetStream."""
    return client.jetstream(timeout=API_TIMEOUT_S)


def wanted_config(url: JetStreamUrl, retention_days: float | None) -> api.StreamConfig:
    """How the stream is made."""
    return api.StreamConfig(
        name=url.stream,
        subjects=subjects_of(url.stream),
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        num_replicas=url.replicas,
        max_age=0 if retention_days is None else retention_days * _DAY_S,
        # A full stream refuses; it must not make room by dropping what nobody has read.
        discard=api.DiscardPolicy.NEW,
        duplicate_window=DUPLICATE_WINDOW_S
        if retention_days is None
        else min(DUPLICATE_WINDOW_S, retention_days * _DAY_S),
        # Positions of a stream made anew lie behind those of the one before, so that an old
        # bookmark is noticed; servers before 2.10 do not know this and begin at 1.
        first_seq=time.time_ns() // 1000,
    )


async def load_info(js: JetStreamContext, url: JetStreamUrl) -> api.StreamInfo | None:
    """What the server says of the stream; None where there is none. Raises StreamError."""
    try:
        info = await js.stream_info(url.stream)
    except js_errors.NotFoundError:
        return None
    check_ours(info.config)
    return info


async def ensure_stream(
    js: JetStreamContext, url: JetStreamUrl, retention_days: float | None
) -> api.StreamInfo:
    """The stream as it is, made if it is missing. Raises StreamError where it is not ours."""
    info = await load_info(js, url)
    if info is not None:
        return info
    try:
        made = await js.add_stream(wanted_config(url, retention_days))
    except js_errors.APIError as err:
        if err.err_code == _NAME_IN_USE:  # another writer has just made it
            info = await load_info(js, url)
            if info is not None:
                return info
        if err.err_code == _SUBJECTS_OVERLAP:
            raise StreamError(
                f"The call stream {url.stream} cannot be made: another stream of this NATS account"
                f" listens to its subjects, {subjects_of(url.stream)[0]}. Name another in the URL."
            ) from err
        if err.err_code in (_NOT_CLUSTERED, _TOO_FEW_PEERS):
            raise StreamError(
                f"The call stream cannot be made with replicas={url.replicas}: there are not so"
                f" many JetStream servers ({err.description})."
            ) from err
        raise
    if not made.config.first_seq:
        logger.warning(
            "The call stream %s was made on a server before 2.10, where it begins at position 1:"
            " were it ever made anew, an old bookmark might pass over new calls. Update the servers"
            " to 2.10.23 or later.",
            url.stream,
        )
    return made


def check_ours(config: api.StreamConfig) -> None:
    """Returns for a stream that call entries are safe in. Raises StreamError."""
    name = str(config.name)
    if config.subjects != subjects_of(name):
        raise StreamError(
            f"The JetStream stream {name} is not a call stream: it listens to other subjects."
            " Name another in the call stream URL."
        )
    fault = next(_faults(config), None)
    if fault is not None:
        raise StreamError(f"The JetStream stream {name} cannot hold calls: {fault}.")


def _faults(config: api.StreamConfig) -> Iterator[str]:
    if config.retention not in (None, api.RetentionPolicy.LIMITS):
        yield f"its retention is {config.retention}, which deletes entries, and must be limits"
    if config.no_ack:
        yield "it does not acknowledge (no_ack)"
    if config.sealed:
        yield "it is sealed"
    if config.mirror or config.sources:
        yield "it is filled from another stream"


def differences(
    config: api.StreamConfig, url: JetStreamUrl, retention_days: float | None
) -> Iterator[str]:
    """Where the stream is not as it would be made now, in a few words each."""
    wanted = wanted_config(url, retention_days)
    for name, is_now, would_be in (
        ("replicas", config.num_replicas, wanted.num_replicas),
        ("storage", _word(config.storage), _word(wanted.storage)),
        ("max_age in seconds", config.max_age or 0.0, wanted.max_age or 0.0),
        ("duplicate_window in seconds", config.duplicate_window, wanted.duplicate_window),
        ("discard", _word(config.discard), _word(wanted.discard)),
        ("max_bytes", _limit(config.max_bytes), None),
        ("max_msgs", _limit(config.max_msgs), None),
        ("max_msgs_per_subject", _limit(config.max_msgs_per_subject), None),
    ):
        if is_now != would_be:
            yield f"{name} is {is_now}, not {'unlimited' if would_be is None else would_be}"


def _limit(number: int | None) -> int | None:
    return number if number and number > 0 else None


def _word(setting: object) -> str:
    return str(getattr(setting, "value", setting))


async def open_payloads(js: JetStreamContext, stream: api.StreamConfig) -> ObjectStore:
    """The bucket of large payloads, made if missing; it keeps a day longer than the stream."""
    bucket = payload_bucket(str(stream.name))
    try:
        return await js.object_store(bucket)
    except js_errors.NotFoundError:
        pass
    config = api.ObjectStoreConfig(
        ttl=stream.max_age + _DAY_S if stream.max_age else None,
        storage=api.StorageType.FILE,
        replicas=stream.num_replicas or 1,
    )
    try:
        return await js.create_object_store(bucket, config=config)
    except js_errors.APIError as err:
        if err.err_code != _NAME_IN_USE:
            raise
        return await js.object_store(bucket)


async def find_positions(js: JetStreamContext, stream: str) -> KeyValue | None:
    """The bucket of what named readers have finished with; None where there is none yet."""
    try:
        return await js.key_value(position_bucket(stream))
    except js_errors.NotFoundError:
        return None


async def open_positions(js: JetStreamContext, url: JetStreamUrl) -> KeyValue:
    """The same bucket, made if it is missing."""
    found = await find_positions(js, url.stream)
    if found is not None:
        return found
    info = await load_info(js, url)
    config = api.KeyValueConfig(
        bucket=position_bucket(url.stream),
        storage=api.StorageType.FILE,
        replicas=(info.config.num_replicas if info else None) or url.replicas,
    )
    try:
        return await js.create_key_value(config)
    except js_errors.APIError as err:
        if err.err_code != _NAME_IN_USE:
            raise
        return await js.key_value(position_bucket(url.stream))
