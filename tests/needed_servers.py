"""Tests that need a server: skipped where there is none, but in CI, where there must be one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.call_stream.nats_server import NoNatsServer
from tests.target_hubspot_calls.store.postgresql_server import NoPostgreSQL


@contextmanager
def or_skip() -> Iterator[None]:
    """Ends the test that starts a server in here, or needs a fixture that does, if there is none.

    A test that fails otherwise does so as ever.
    """
    try:
        yield
    except (NoNatsServer, NoPostgreSQL) as err:
        if os.environ.get("CI") == "true":
            pytest.fail(str(err))
        pytest.skip(str(err))
