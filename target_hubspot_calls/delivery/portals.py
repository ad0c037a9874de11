"""Which HubSpot portal a workspace writes to, opened once and kept for the run.

Joins the store's connections with the HTTP room; knows nothing of calls.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery.leases import HeldElsewhere, Leases
from target_hubspot_calls.delivery.match import Matcher, MatchRules
from target_hubspot_calls.delivery.new_contacts import ContactMaker
from target_hubspot_calls.errors import (
    AccountMigrating,
    CallOutcomeError,
    DailyLimit,
    HubSpotError,
    MissingScope,
    NotConnected,
    PortalError,
    Reason,
    ReconnectRequired,
    Rejected,
    TransientHubSpotError,
)
from target_hubspot_calls.hubspot.auth import PortalAuth, StaticTokens, TokenStore
from target_hubspot_calls.hubspot.client import HubSpotClient, open_client
from target_hubspot_calls.hubspot.engagements import CALL_ID_PROPERTY, EngagementKind
from target_hubspot_calls.hubspot.oauth import AppRefused, OAuthApp
from target_hubspot_calls.hubspot.pace import (
    SEARCH_WINDOW_S,
    SLACK_S,
    WINDOW_S,
    Pace,
    PortalPaces,
)
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.connections import Connection, Connections, ConnectionState
from target_hubspot_calls.store.new_contacts import NewContacts
from target_hubspot_calls.store.portal_leases import Lease
from target_hubspot_calls.tokens import TokenSet

logger = logging.getLogger(__name__)

# The workspace name under which a refresh token from the settings keeps its rotated successor.
SETTINGS_OWNER = ":settings:"
# How long a portal that failed is left alone, in seconds.
TROUBLE_S = 10.0
# The same for one that refuses us until a person acts, as far as this run is concerned.
REFUSED_S = 600.0


@dataclass
class Portal:
    """One open portal; `unique_call_ids` is about the kind of engagement the settings ask for."""

    name: str
    client: HubSpotClient
    pace: Pace
    matcher: Matcher
    portal_id: int
    connection_id: str | None
    kind: EngagementKind
    unique_call_ids: bool

    def is_unique(self, kind: EngagementKind) -> bool:
        """True if HubSpot itself refuses a second engagement of this kind with a call id."""
        return self.unique_call_ids and kind is self.kind


class Portals:
    """Opens portals for workspaces: from the settings' one token, or from stored connections."""

    def __init__(
        self,
        settings: TargetSettings,
        connections: Connections,
        new_contacts: NewContacts,
        leases: Leases,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._new_contacts = new_contacts
        self._leases = leases
        self._clock = clock
        self._open: dict[str, Portal] = {}
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._paces = PortalPaces(
            lambda: Pace(settings.requests_per_10_seconds, settings.searches_per_second)
        )
        self._troubles: dict[str, tuple[float, TransientHubSpotError | PortalError]] = {}
        # Portals that failed and have done nothing for us since.
        self._down: set[str] = set()
        # To which portal each name, and each workspace, led last.
        self._portal_ids: dict[str, int] = {}
        self._portal_of: dict[Workspace, int] = {}

    async def __aenter__(self) -> Portals:
        await self._leases.begin(self._spent_of)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leases.end()
        for portal in self._open.values():
            await portal.client.aclose()
        self._open.clear()

    async def give_back(self, *, but_of: Iterable[Workspace] = ()) -> None:
        """Lets other processes have the portals, but those of these workspaces."""
        in_use = {self._portal_of[one] for one in but_of if one in self._portal_of}
        await self._leases.give_back(but=in_use)

    @property
    def is_given(self) -> bool:
        """True when the settings name the one portal everything goes to."""
        return bool(self._settings.service_key or self._settings.refresh_token)

    async def open(self, workspace: Workspace) -> Portal:
        """The workspace's portal, ours alone to pace and to write until `give_back`.

        A request that would leave after the portal was lost raises HeldElsewhere instead.

        Raises HeldElsewhere, NotConnected, PortalError while it is parked, or HubSpotError when it
        cannot be reached.
        """
        connection = await self._connection(workspace)
        name = connection.id if connection else SETTINGS_OWNER
        # One lock each, so that a portal that does not answer holds up nobody else.
        async with self._opening[name]:
            self._check_troubled(name)
            if connection is not None and (name in self._open or not self.is_given):
                _check_parked(connection, self._clock.now())
            portal_id = self._portal_ids.get(name) or (connection.portal_id if connection else None)
            if portal_id is not None:
                await self._take(workspace, portal_id)
            if name not in self._open:
                self._open[name] = await self._opened(workspace, name, connection, portal_id)
            return self._open[name]

    async def _take(self, workspace: Workspace, portal_id: int) -> None:
        """Makes the portal ours, and its pace go on from where the one before left it."""
        self._portal_of[workspace] = portal_id
        lease, spent = await self._leases.take(portal_id)
        if lease is Lease.REFUSED:
            raise HeldElsewhere
        if spent is None:
            return
        pace = self._paces.of(portal_id)
        pace.searches.close_for(SEARCH_WINDOW_S + SLACK_S - spent.ago_s)
        if spent.free_after_s is None:
            # It died without a word: it may have spent a whole window right before.
            pace.requests.close_for(WINDOW_S + SLACK_S - spent.ago_s)
        else:
            pace.requests.take_over(spent.free_after_s)

    def _spent_of(self, portal_id: int) -> list[float]:
        return [round(s, 2) for s in self._paces.of(portal_id).requests.free_after_s()]

    def note_trouble(self, portal: Portal, error: HubSpotError) -> None:
        """Remembers a portal that just failed, so that the calls behind do not each find out."""
        self._note_trouble(portal.name, error)

    def note_working(self, portal: Portal) -> bool:
        """True if the portal was down until now: calls that wait for it need not wait on."""
        was_down = portal.name in self._down
        self._down.discard(portal.name)
        return was_down

    def _note_trouble(self, name: str, error: HubSpotError) -> None:
        now = self._clock.monotonic()
        if isinstance(error, TransientHubSpotError):
            self._troubles[name] = (now + TROUBLE_S, error)
            self._down.add(name)
        elif isinstance(error, PortalError):
            wait_s = REFUSED_S if error.retry_after_s is None else error.retry_after_s
            self._troubles[name] = (now + wait_s, error)

    def _check_troubled(self, name: str) -> None:
        if self._is_troubled(name):
            _, error = self._troubles[name]
            raise type(error)(str(error), retry_after_s=error.retry_after_s)

    def _is_troubled(self, name: str) -> bool:
        until, _ = self._troubles.get(name, (float("-inf"), None))
        return self._clock.monotonic() < until

    async def is_connected(self, workspace: Workspace) -> bool:
        """True if calls that waited for a person may be tried again."""
        if self.is_given:
            return True
        connection = await asyncio.to_thread(
            self._connections.get, workspace.user_id, workspace.workspace_id
        )
        return (
            connection is not None
            and connection.state is ConnectionState.ACTIVE
            and not self._is_troubled(connection.id)
        )

    async def park(self, portal: Portal, error: PortalError) -> None:
        """Remembers that the whole portal waits, so that nothing is asked of it until then."""
        self._note_trouble(portal.name, error)
        if portal.connection_id is not None:
            await self._park(portal.connection_id, error)

    async def _park(self, connection_id: str, error: PortalError) -> None:
        detail = str(error)
        if isinstance(error, AppRefused):
            # The operator's client id or secret is wrong: nobody's grant is dead for that.
            return
        if isinstance(error, ReconnectRequired):
            await asyncio.to_thread(self._connections.require_reconnect, connection_id, detail)
        elif isinstance(error, MissingScope):
            await asyncio.to_thread(self._connections.lack_scope, connection_id, detail)
        elif error.retry_after_s is not None:
            until = self._clock.now() + timedelta(seconds=error.retry_after_s)
            await asyncio.to_thread(
                self._connections.block_until, connection_id, until, error.reason.value, detail
            )

    async def _connection(self, workspace: Workspace) -> Connection | None:
        if self._settings.service_key:
            return None
        if self._settings.refresh_token:
            return await asyncio.to_thread(self._settings_connection)
        connection = await asyncio.to_thread(
            self._connections.get, workspace.user_id, workspace.workspace_id
        )
        if connection is None:
            raise NotConnected("This workspace is not connected to HubSpot yet.")
        return connection

    def _settings_connection(self) -> Connection:
        """The stored successor of the settings' refresh token: HubSpot may rotate it any time."""
        given = self._settings.secret("refresh_token") or ""
        fingerprint = hashlib.sha256(given.encode()).hexdigest()
        long_ago = datetime(1970, 1, 1, tzinfo=UTC)
        return self._connections.keep_oauth(
            SETTINGS_OWNER,
            fingerprint,
            TokenSet(access_token="none-yet", refresh_token=given, expires_at=long_ago),  # noqa: S106
        )

    async def _opened(
        self, workspace: Workspace, name: str, connection: Connection | None, known_id: int | None
    ) -> Portal:
        settings = self._settings
        pace = self._paces.of(known_id or name)
        client = self._client(connection, pace)
        try:
            account = await client.fetch_account()
            if (shared := self._paces.adopt(account.portal_id, pace)) is not pace:
                # Another workspace has the same portal: HubSpot counts both as one.
                await client.aclose()
                pace, client = shared, self._client(connection, shared)
            self._portal_ids[name] = account.portal_id
            pace.guard(partial(self._leases.hold, account.portal_id))
            await self._take(workspace, account.portal_id)
            kind = EngagementKind[settings.kind.name]
            unique_call_ids = await _ensure_unique_call_ids(client, kind)
        except HeldElsewhere:
            await client.aclose()
            raise
        except CallOutcomeError as err:
            await client.aclose()
            if isinstance(err, PortalError) and connection is not None:
                await self._park(connection.id, err)
            if isinstance(err, HubSpotError):
                self._note_trouble(name, err)
            raise
        if connection is not None:
            await self._note_working(connection, account.portal_id)
        matcher = Matcher(
            client,
            MatchRules(settings.default_region, settings.ambiguous_contact),
            self._clock.monotonic,
            maker=self._contact_maker(client, account.portal_id),
        )
        return Portal(
            name=name,
            client=client,
            pace=pace,
            matcher=matcher,
            portal_id=account.portal_id,
            connection_id=connection.id if connection else None,
            kind=kind,
            unique_call_ids=unique_call_ids,
        )

    def _client(self, connection: Connection | None, pace: Pace) -> HubSpotClient:
        return open_client(
            self._settings.hubspot_api_url,
            auth=PortalAuth(self._tokens(connection), self._oauth_app(), now=self._clock.now),
            pace=pace,
            sleep=self._clock.sleep,
        )

    async def _note_working(self, connection: Connection, portal_id: int) -> None:
        if connection.portal_id != portal_id:
            await asyncio.to_thread(self._connections.set_portal, connection.id, portal_id)
        if connection.state != ConnectionState.ACTIVE or connection.blocked_until is not None:
            await asyncio.to_thread(self._connections.activate, connection.id)

    def _contact_maker(self, client: HubSpotClient, portal_id: int) -> ContactMaker | None:
        if self._settings.missing_contact == "skip":
            return None
        return ContactMaker(client, self._new_contacts, portal_id, self._clock.now)

    def _tokens(self, connection: Connection | None) -> TokenStore:
        if connection is None:
            return StaticTokens(self._settings.secret("service_key") or "")
        return self._connections.tokens(connection.id)

    def _oauth_app(self) -> OAuthApp | None:
        client_id, client_secret = self._settings.client_id, self._settings.secret("client_secret")
        if not client_id or not client_secret:
            return None
        return OAuthApp(
            client_id=client_id,
            client_secret=client_secret,
            api_url=self._settings.hubspot_api_url,
        )


def _check_parked(connection: Connection, now: datetime) -> None:
    """Raises the error that parked the portal, as long as it holds."""
    detail = connection.state_detail or "The portal cannot be used now."
    if connection.state is ConnectionState.RECONNECT_REQUIRED:
        raise ReconnectRequired(detail)
    if connection.state is ConnectionState.MISSING_SCOPE:
        raise MissingScope(detail)
    if connection.blocked_until is not None and connection.blocked_until > now:
        wait_s = (connection.blocked_until - now).total_seconds()
        if connection.blocked_reason == Reason.ACCOUNT_MIGRATING:
            raise AccountMigrating(detail, retry_after_s=wait_s)
        raise DailyLimit(detail, retry_after_s=wait_s)


async def _ensure_unique_call_ids(client: HubSpotClient, kind: EngagementKind) -> bool:
    """True if the portal has, or now got, a property that refuses a call id twice.

    Whether notes take unique properties is not documented, and making one needs a scope many
    connections lack; then delivery looks calls up by their visible id instead.
    """
    definition = await client.fetch_property(kind, CALL_ID_PROPERTY)
    if definition is None:
        try:
            definition = await client.create_call_id_property(kind)
        except (MissingScope, Rejected) as err:
            logger.info("no unique call-id property: %s", err)
            return False
    return definition.get("hasUniqueValue") is True
