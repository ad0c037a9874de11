"""The rules of a person's consent at HubSpot: begun for one workspace, finished once, or refused.

Knows states, grants and the token endpoint; neither requests nor pages. Every way it can fail has
a code and a sentence of its own, and leaves the connection that was there as it was.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from receiver.answers import Refusal
from receiver.session_cookies import browser_digest
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import (
    HubSpotError,
    ReconnectRequired,
    StoreUnavailable,
)
from target_hubspot_calls.hubspot.oauth import REQUIRED_SCOPES, AppRefused
from target_hubspot_calls.store.grants import EndedConnection, PortalDiffers
from target_hubspot_calls.store.oauth_states import ReturnedState, Standing
from target_hubspot_calls.store.sessions import Session
from target_hubspot_calls.tokens import TokenSet

logger = logging.getLogger("receiver")

MAY_CHANGE_PORTAL = "replace"
_STATE = re.compile(r"[A-Za-z0-9_-]{20,100}\Z")
_CODE = re.compile(r"[!-~]{1,1000}\Z")
_AGAIN = "start again with Connect"


class States(Protocol):
    """What is asked of stored states; may block. Raises StoreUnavailable."""

    def create(
        self,
        user_id: str,
        workspace_id: str,
        *,
        browser_digest: bytes | None,
        options: Mapping[str, str],
    ) -> str:
        """A new state."""

    def use(self, state: str, /) -> ReturnedState | None:
        """What the state stands for, None if it was never given out; used up from now on."""


class GrantStore(Protocol):
    """What is asked of stored grants; may block. Raises StoreUnavailable."""

    def store(
        self, user_id: str, workspace_id: str, tokens: TokenSet, *, may_change_portal: bool
    ) -> EndedConnection | None:
        """Connects the workspace, and returns what stood in its place. Raises PortalDiffers."""

    def take(self, user_id: str, workspace_id: str, /) -> EndedConnection | None:
        """Ends the workspace's connection; None if it has none."""

    def is_in_use(self, tokens: TokenSet, /) -> bool:
        """True if a connection lives on this refresh token."""


class WaitingCalls(Protocol):
    """What is asked of the ledger; may block. Raises StoreUnavailable."""

    def wake(self, workspace: Workspace, *, now: datetime) -> int:
        """Makes calls due that waited for a person; returns how many."""


class HubSpotGrants(Protocol):
    """HubSpot's side of a grant. Raises the HubSpotError family."""

    def authorize_url(self, state: str, /) -> str:
        """Where a person grants access."""

    async def exchange(self, code: str, /) -> TokenSet:
        """The tokens for a code."""

    async def revoke(self, tokens: TokenSet, /) -> None:
        """Ends the grant."""


@dataclass(frozen=True)
class Visitor:
    """The browser that came back: its session and the name it was given, where it has them."""

    session: Session | None = None
    browser: str | None = None

    @property
    def digests(self) -> tuple[bytes, ...]:
        """What a state may be bound to."""
        of_session = (self.session.digest,) if self.session else ()
        return of_session + ((browser_digest(self.browser),) if self.browser else ())


class Consents:
    """Begins and finishes consents; without `hubspot`, where no app is set, it only ends grants."""

    def __init__(
        self,
        states: States,
        grants: GrantStore,
        calls: WaitingCalls,
        hubspot: HubSpotGrants | None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._states = states
        self._grants = grants
        self._calls = calls
        self._hubspot = hubspot
        self._now = now

    async def begin(
        self, workspace: Workspace, *, digest: bytes | None, options: Mapping[str, str]
    ) -> str:
        """The address at which a person grants access for the workspace."""
        hubspot = self._app()
        state = await asyncio.to_thread(
            self._states.create,
            workspace.user_id,
            workspace.workspace_id,
            browser_digest=digest,
            options=options,
        )
        return hubspot.authorize_url(state)

    async def returned(self, written: str) -> ReturnedState | None:
        """What the state that came back stands for; it is used up, whatever happens next."""
        if not _STATE.match(written):
            return None
        return await asyncio.to_thread(self._states.use, written)

    async def finish(
        self, returned: ReturnedState | None, visitor: Visitor, *, code: str, error: str
    ) -> int:
        """The id of the portal that is connected from now on. Raises Refusal, StoreUnavailable."""
        workspace = _checked(returned, visitor)
        if error:
            raise _not_granted(error)
        if not _CODE.match(code):
            raise Refusal(400, "oauth_code_missing", f"HubSpot sent no code along; {_AGAIN}.")
        tokens = await self._exchanged(code)
        portal_id = _granted_portal(tokens)
        may_change = returned is not None and MAY_CHANGE_PORTAL in returned.options
        try:
            before = await asyncio.to_thread(
                self._grants.store,
                workspace.user_id,
                workspace.workspace_id,
                tokens,
                may_change_portal=may_change,
            )
        except PortalDiffers as err:
            await self._end_unused(tokens)
            raise _other_portal(err) from err
        await self._wake(workspace)
        if before is not None and before.connection.portal_id != portal_id:
            await self._end_unused(before.tokens)
        return portal_id

    async def disconnect(self, workspace: Workspace) -> tuple[EndedConnection | None, bool]:
        """What was connected, gone from here, and whether HubSpot has ended the grant as well.

        Never fails because HubSpot is away. Raises StoreUnavailable.
        """
        ended = await asyncio.to_thread(
            self._grants.take, workspace.user_id, workspace.workspace_id
        )
        return ended, ended is not None and await self._end_unused(ended.tokens)

    async def _exchanged(self, code: str) -> TokenSet:
        hubspot = self._app()
        try:
            return await hubspot.exchange(code)
        except AppRefused as err:
            logger.error("connecting HubSpot: %s", err)
            raise Refusal(
                502,
                "oauth_app_refused",
                "HubSpot does not take the app of this installation; whoever runs it must check"
                " its client id and secret.",
            ) from err
        except ReconnectRequired as err:
            logger.warning("connecting HubSpot: %s", err)
            sentence = f"HubSpot refused the code it had given; {_AGAIN}."
            raise Refusal(400, "oauth_code_refused", sentence) from err
        except HubSpotError as err:
            logger.warning("connecting HubSpot: %s", err)
            sentence = "HubSpot did not answer; nothing has changed. Try again in a minute."
            raise Refusal(502, "hubspot_unavailable", sentence) from err

    def _app(self) -> HubSpotGrants:
        if self._hubspot is None:
            raise Refusal(
                503,
                "oauth_not_configured",
                "Nobody can connect HubSpot in the browser here yet: HUBSPOT_CLIENT_ID and"
                " HUBSPOT_CLIENT_SECRET are not set.",
            )
        return self._hubspot

    async def _wake(self, workspace: Workspace) -> None:
        try:
            woken = await asyncio.to_thread(self._calls.wake, workspace, now=self._now())
        except StoreUnavailable as err:
            # Whoever delivers looks for calls of connected workspaces as well, only later.
            logger.warning("calls that waited for the connection are woken later: %s", err)
            return
        logger.info("a workspace is connected to HubSpot; %d calls waited for it", woken)

    async def _end_unused(self, tokens: TokenSet | None) -> bool:
        """True if HubSpot has ended the grant; one that another connection lives on is left."""
        if self._hubspot is None or tokens is None or tokens.refresh_token is None:
            return False
        try:
            if await asyncio.to_thread(self._grants.is_in_use, tokens):
                return False
            await self._hubspot.revoke(tokens)
        except (HubSpotError, StoreUnavailable) as err:
            logger.warning("a grant could not be ended at HubSpot: %s", err)
            return False
        return True


def _checked(returned: ReturnedState | None, visitor: Visitor) -> Workspace:
    """Whose consent it is, if it may be finished by this visitor now. Raises Refusal (400, 403)."""
    if returned is None:
        sentence = f"Nobody here sent you to HubSpot with this link; {_AGAIN}."
        raise Refusal(400, "oauth_state_unknown", sentence)
    workspace = Workspace(returned.user_id, returned.workspace_id)
    session = visitor.session
    if session is not None and Workspace(session.user_id, session.workspace_id) != workspace:
        sentence = f"Somebody else who was signed in here began to connect HubSpot; {_AGAIN}."
        raise Refusal(403, "oauth_other_account", sentence)
    bound = returned.browser_digest
    if bound is not None and not any(hmac.compare_digest(bound, one) for one in visitor.digests):
        sentence = f"Connecting was begun in another browser, or before you signed in; {_AGAIN}."
        raise Refusal(403, "oauth_other_browser", sentence)
    if returned.standing is Standing.USED:
        sentence = f"This way back from HubSpot was used before; if nothing is shown, {_AGAIN}."
        raise Refusal(400, "oauth_state_used", sentence)
    if returned.standing is Standing.EXPIRED:
        sentence = f"Connecting took more than ten minutes; {_AGAIN}."
        raise Refusal(400, "oauth_state_expired", sentence)
    return workspace


def _not_granted(error: str) -> Refusal:
    if error == "access_denied":
        sentence = "Access was not granted in HubSpot; nothing has changed."
        return Refusal(403, "oauth_denied", sentence)
    sentence = f"HubSpot did not grant access; nothing has changed. To try again, {_AGAIN}."
    return Refusal(400, "oauth_refused", sentence)


def _granted_portal(tokens: TokenSet) -> int:
    """The portal, if all that we need there was granted. Raises Refusal."""
    missing = missing_scopes(tokens.scopes)
    if missing:
        raise Refusal(
            403,
            "missing_scope",
            f"HubSpot granted access without {', '.join(missing)}; nothing has changed. Connect"
            " again and grant all that is asked for.",
        )
    if tokens.portal_id is None:
        sentence = f"HubSpot did not say which portal was granted; {_AGAIN}."
        raise Refusal(502, "oauth_portal_unknown", sentence)
    return tokens.portal_id


def missing_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes we cannot do without and lack; none where HubSpot did not say what we have."""
    return tuple(one for one in REQUIRED_SCOPES if one not in scopes) if scopes else ()


def _other_portal(err: PortalDiffers) -> Refusal:
    return Refusal(
        409,
        "other_portal",
        f"This workspace is connected to portal {err.connected} and you chose portal"
        f" {err.granted}; nothing has changed. Choose portal {err.connected}, or connect again and"
        " say that the other portal takes its place.",
    )
