"""Which rate policy a request exceeds, and what the headers say of the one that counts it.

Searches have a window per portal, association batches another, all else one per app or key.
"""

from __future__ import annotations

from .account_operations import today
from .oauth import Grant
from .state import SimulatorState

_BURST_S = 10.0
_SECOND_S = 1.0


def policy_exceeded(
    state: SimulatorState, limit: str, grant: Grant, headers: dict[str, str]
) -> str | None:
    """The policy that refuses this request, or None; adds the rate headers of its answer."""
    if grant.is_service_key and _day_is_used_up(state, grant.portal_id):
        return "DAILY"
    if limit == "search":
        return _search(state, grant)
    if limit == "association":
        return _association_batch(state, grant)
    return _burst(state, grant, headers)


def _day_is_used_up(state: SimulatorState, portal_id: int) -> bool:
    day = today(state.clock())
    if state.settings.rate_limits:
        used = state.rates.used_today(portal_id, day)
        if used >= state.settings.requests_per_day:
            return True
    state.rates.count_today(portal_id, day)
    return False


def _search(state: SimulatorState, grant: Grant) -> str | None:
    window = state.rates.window("SECONDLY", grant.portal_id, "", _SECOND_S)
    admitted = window.admit(state.clock(), _enforced(state, state.settings.searches_per_s))
    return None if admitted else "SECONDLY"


def _association_batch(state: SimulatorState, grant: Grant) -> str | None:
    window = state.rates.window("ASSOCIATIONS", grant.portal_id, "", _BURST_S)
    limit = _enforced(state, state.settings.association_batches_per_10_s)
    return None if window.admit(state.clock(), limit) else "TEN_SECONDLY_ROLLING"


def _burst(state: SimulatorState, grant: Grant, headers: dict[str, str]) -> str | None:
    settings, now = state.settings, state.clock()
    limit = (
        settings.service_key_requests_per_10_s
        if grant.is_service_key
        else settings.app_requests_per_10_s
    )
    window = state.rates.window("TEN_SECONDLY_ROLLING", grant.portal_id, grant.caller, _BURST_S)
    admitted = window.admit(now, _enforced(state, limit))
    if settings.rate_limits:
        headers["X-HubSpot-RateLimit-Interval-Milliseconds"] = "10000"
        headers["X-HubSpot-RateLimit-Max"] = str(limit)
        headers["X-HubSpot-RateLimit-Remaining"] = str(window.remaining(now, limit))
        if grant.is_service_key:
            left = settings.requests_per_day - state.rates.used_today(grant.portal_id, today(now))
            headers["X-HubSpot-RateLimit-Daily"] = str(settings.requests_per_day)
            headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, left))
    return None if admitted else "TEN_SECONDLY_ROLLING"


def _enforced(state: SimulatorState, limit: int) -> int | None:
    return limit if state.settings.rate_limits else None
