"""What NATS's driver raises, in sentences of the call stream.

Knows the driver's errors; a sentence names no secret, since none of these errors holds one.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from nats import errors
from nats.js import errors as js_errors

from call_stream.stream import StreamError, StreamUnavailable

NO_ANSWER = (
    "JetStream does not answer: it is not enabled on the servers, or most of those that keep the"
    " call stream are down."
)
SLOW = "The call stream's servers did not acknowledge in time; whether they stored is not known."


class CredentialsRefused(StreamUnavailable):
    """The servers do not let this user in."""


def is_refusal(err: BaseException) -> bool:
    """Whether the server has said that it does not know, or not trust, who we are."""
    said = str(err).lower()
    return isinstance(err, errors.AuthorizationError) or any(
        word in said for word in ("authorization", "authentication", "user authentication expired")
    )


def why_no_connection(err: BaseException | None) -> str:
    """A few words on why a server could not be connected to."""
    if isinstance(err, ssl.SSLError):
        return f"TLS failed ({err.reason or type(err).__name__})"
    if isinstance(err, NoTls):
        return "it does not ask for TLS, and the URL does"
    if isinstance(err, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(err, TimeoutError):
        return "it does not answer"
    if isinstance(err, OSError):
        return err.strerror or type(err).__name__
    return type(err).__name__ if err is not None else "it does not answer"


class NoTls(errors.Error):
    """A server would talk in the clear where that was ruled out."""


@contextmanager
def in_our_words() -> Iterator[None]:
    """Turns what the driver raises inside the block into StreamUnavailable."""
    try:
        yield
    except StreamError:
        raise
    except (js_errors.ServiceUnavailableError, errors.NoRespondersError) as err:
        raise StreamUnavailable(NO_ANSWER) from err
    except js_errors.NoStreamResponseError as err:
        raise StreamUnavailable(NO_ANSWER) from err
    except js_errors.APIError as err:
        raise StreamUnavailable(
            f"JetStream refuses: {err.description or f'error {err.code}'}."
        ) from err
    except TimeoutError as err:
        raise StreamUnavailable(SLOW) from err
    except (errors.Error, OSError, EOFError) as err:
        raise StreamUnavailable(
            f"The connection to the call stream's servers failed ({type(err).__name__})."
        ) from err
