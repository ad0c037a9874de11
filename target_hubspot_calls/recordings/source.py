"""A call's recording from wherever it can be had: its stored link, or a fresh one of VAPI's.

Knows which of the two to ask first; how each is asked lives beside it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from target_hubspot_calls.recordings.fetch import Recording, RecordingFetcher
from target_hubspot_calls.recordings.lifetime import is_alive
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus
from target_hubspot_calls.recordings.vapi_links import VapiLinks

_WORTH_A_FRESH_LINK = frozenset({RecordingStatus.EXPIRED, RecordingStatus.UNREACHABLE})


class RecordingSource:
    """Opens recordings by call; `vapi` is None where no private key is set."""

    def __init__(
        self,
        fetcher: RecordingFetcher,
        vapi: VapiLinks | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._fetcher = fetcher
        self._vapi = vapi
        self._now = now

    @asynccontextmanager
    async def open(
        self, call_id: str, url: str, expires_at: datetime | None, *, may_ask_vapi: bool = True
    ) -> AsyncIterator[Recording]:
        """The call's recording, as `RecordingFetcher.open` gives it. Raises RecordingError.

        With one key for all workspaces, VAPI may be asked only for a call that is surely theirs.
        """
        async with AsyncExitStack() as stack:
            vapi = self._vapi if may_ask_vapi else None
            yield await self._enter(stack, vapi, call_id, url, expires_at)

    async def _enter(
        self,
        stack: AsyncExitStack,
        vapi: VapiLinks | None,
        call_id: str,
        url: str,
        expires_at: datetime | None,
    ) -> Recording:
        if is_alive(url, expires_at, self._now()):
            try:
                return await stack.enter_async_context(self._fetcher.open(url))
            except RecordingError as err:
                if vapi is None or err.status not in _WORTH_A_FRESH_LINK:
                    raise
        if vapi is None:
            message = (
                "The recording's link has expired; set VAPI_API_KEY (setting vapi_api_key) to have"
                " fresh ones."
            )
            raise RecordingError(RecordingStatus.EXPIRED, message)
        fresh = await self._fetch_fresh_link(vapi, call_id)
        return await stack.enter_async_context(self._fetcher.open(fresh))

    async def _fetch_fresh_link(self, vapi: VapiLinks, call_id: str) -> str:
        try:
            return await vapi.fetch_fresh_link(call_id)
        except RecordingError as err:
            if err.status is not RecordingStatus.NONE:
                raise
            # There was one once: the stored link says so.
            message = "The recording's link no longer works, and VAPI no longer has the recording."
            raise RecordingError(RecordingStatus.EXPIRED, message) from err
