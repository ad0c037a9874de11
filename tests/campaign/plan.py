"""What one run of the campaign does, decided by its seed alone: values, no I/O.

Knows what every call must become, by rules of its own and not by those of the code under test.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.campaign.mishaps import Mishap, Trap, draw_fault, draw_mishap, draw_trap

AREA_CODES = ("415", "202", "312", "206", "617", "303")
FIRST_PORTAL = 48_000_001
# Stands for the simulator's address, which no seed decides.
SIMULATOR = "http://simulator.test"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PEOPLE = ("Dana Ruiz", "Sam Okafor", "Ines Moreau", "Lee Park", "Noor Haddad", "Tom Becker")


@dataclass(frozen=True)
class ContactPlan:
    """A contact that is there from the start."""

    id: str
    portal_id: int
    properties: dict[str, str]


@dataclass(frozen=True)
class CallPlan:
    """A call, its reports in the order they were written, and what must become of it.

    `contact_id` is the right contact, "new" one made for the number, or None: then `skip_reason`
    is the outcome.
    """

    id: str
    user_id: str
    workspace_id: str
    portal_id: int
    number: str | None
    reports: tuple[dict[str, Any], ...]
    contact_id: str | None
    skip_reason: str | None

    @property
    def has_recording(self) -> bool:
        """Whether any report names a recording."""
        return any("recording_url" in report for report in self.reports)


@dataclass(frozen=True)
class WorkerPlan:
    """A process: how it runs, which batches it is given, and how it ends."""

    mode: str
    batches: tuple[int, ...]
    mishap: Mishap | None


@dataclass(frozen=True)
class Round:
    """One or two processes at once, with the faults that strike them."""

    workers: tuple[WorkerPlan, ...]
    faults: tuple[dict[str, Any], ...] = ()
    traps: tuple[Trap, ...] = ()
    ahead_s: float = 0.0
    log_is_held: bool = False
    tokens_expire: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything one run does."""

    seed: int
    speed: float
    access: str
    simulator: dict[str, Any]
    index_lag_s: float
    settings: dict[str, Any]
    portals: tuple[int, ...]
    contacts: tuple[ContactPlan, ...]
    calls: tuple[CallPlan, ...]
    batches: tuple[tuple[dict[str, Any], ...], ...]
    rounds: tuple[Round, ...] = field(default=())
    may_be_rejected: bool = False


def plan_of(seed: int) -> Plan:
    """The run of a seed; the same one every time."""
    dice = random.Random(seed)
    speed = 1.0 if dice.random() < 0.03 else 40.0
    access = dice.choice(("service_key", "service_key", "oauth", "oauth", "refresh_token"))
    portals = tuple(FIRST_PORTAL + i for i in range(dice.choice((1, 1, 2, 3))))
    if access != "oauth":
        portals = portals[:1]
    settings = {
        "activity_type": dice.choice(("note", "note", "note", "call")),
        "ambiguous_contact": dice.choice(("oldest", "oldest", "recent", "skip")),
        "missing_contact": dice.choice(("skip", "skip", "create")),
        "include_transcript": dice.random() < 0.5,
        "batch_wait_s": dice.choice((0.0, 0.02, 0.1)),
        "upload_recordings": dice.random() < 0.7,
        "recording_hosts": ["127.0.0.1"],
    }
    contacts = _contacts(dice, portals)
    calls = _calls(dice, seed, portals, contacts, settings)
    batches = _batches(dice, calls)
    rounds = _rounds(dice, len(batches), plain=speed == 1.0)
    return Plan(
        seed=seed,
        speed=speed,
        access=access,
        simulator=_portal_ways(dice),
        index_lag_s=dice.choice((0.0, 0.0, 10.0, 60.0)),
        settings=settings,
        portals=portals,
        contacts=contacts,
        calls=calls,
        batches=batches,
        rounds=rounds,
        may_be_rejected=any(
            fault.get("category") == "VALIDATION_ERROR" for item in rounds for fault in item.faults
        ),
    )


def _portal_ways(dice: random.Random) -> dict[str, Any]:
    return {
        "unique_properties_on_activities": dice.random() < 0.5,
        "custom_properties_on_activities": dice.random() < 0.8,
        "echo_trace_ids": dice.random() < 0.7,
        "rotate_refresh_tokens": dice.random() < 0.5,
        "access_token_lifetime_s": dice.choice((150.0, 300.0, 1800.0)),
        "rate_limits": dice.random() < 0.7,
        "association_page_size": dice.choice((2, 10, 500)),
        "association_ids_as_numbers": dice.random() < 0.3,
        "hide_written_phones": dice.random() < 0.2,
        "file_duplicates_by": dice.choice(("name", "content")),
    }


def _contacts(dice: random.Random, portals: Sequence[int]) -> tuple[ContactPlan, ...]:
    numbers = [f"{area}55501{i:02d}" for area in AREA_CODES for i in range(100)]
    dice.shuffle(numbers)
    contacts: list[ContactPlan] = []
    for portal_id in portals:
        for _ in range(dice.randint(2, 12)):
            number = numbers.pop()
            for _ in range(dice.choice((1, 1, 1, 1, 2, 3))):
                contacts.append(_contact(dice, len(contacts), portal_id, number))
    return tuple(contacts)


def _contact(dice: random.Random, nth: int, portal_id: int, number: str) -> ContactPlan:
    area, rest = number[:3], number[3:]
    written = dice.choice(
        (f"({area}) {rest[:3]}-{rest[3:]}", f"+1{number}", f"{area}.{rest[:3]}.{rest[3:]}")
    )
    created = NOON - timedelta(days=dice.randint(100, 900), minutes=nth)
    first, last = dice.choice(PEOPLE).split()
    return ContactPlan(
        id=str(101 + nth),
        portal_id=portal_id,
        properties={
            "firstname": first,
            "lastname": last,
            "email": f"{first}.{last}.{nth}@example.com".lower(),
            dice.choice(("phone", "phone", "mobilephone")): written,
            "createdate": created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        },
    )


def digits_of(contact: ContactPlan) -> str:
    """The ten digits of the contact's number."""
    written = contact.properties.get("phone") or contact.properties.get("mobilephone") or ""
    return "".join(c for c in written if c.isdigit())[-10:]


def _calls(
    dice: random.Random,
    seed: int,
    portals: Sequence[int],
    contacts: Sequence[ContactPlan],
    settings: dict[str, Any],
) -> tuple[CallPlan, ...]:
    strangers = [f"{dice.choice(('408', '503'))}55501{i:02d}" for i in range(dice.randint(1, 5))]
    calls = []
    for nth in range(dice.randint(5, dice.choice((12, 25, 60)))):
        portal_id = dice.choice(portals)
        here = [contact for contact in contacts if contact.portal_id == portal_id]
        calls.append(_call(dice, seed, nth, portal_id, here, strangers, settings))
    return tuple(calls)


def _call(
    dice: random.Random,
    seed: int,
    nth: int,
    portal_id: int,
    here: Sequence[ContactPlan],
    strangers: Sequence[str],
    settings: dict[str, Any],
) -> CallPlan:
    contact = dice.choice(here)
    way: dict[str, Any] = {"customer_number": f"+1{digits_of(contact)}"}
    found, reason = _right_contact(here, digits_of(contact), settings["ambiguous_contact"])
    kind = dice.random()
    if kind < 0.12:
        way = {"customer_number": f"+1{dice.choice(strangers)}"}
        create = settings["missing_contact"] == "create"
        found, reason = ("new", None) if create else (None, "contact_not_found")
    elif kind < 0.18:
        way, found, reason = {}, None, "no_phone_number"
    elif kind < 0.26:
        way, found, reason = {"customer_email": contact.properties["email"]}, contact.id, None
    elif kind < 0.34:
        way, found, reason = {"hubspot_contact_id": contact.id}, contact.id, None
    call_id = f"{seed & 0xFFFFFFFF:08x}-7300-7aa2-9c10-{nth:012x}"
    fields = {
        "id": call_id,
        "user_id": "dana",
        "workspace_id": f"workspace-{portal_id}",
        **way,
    }
    return CallPlan(
        id=call_id,
        user_id=fields["user_id"],
        workspace_id=fields["workspace_id"],
        portal_id=portal_id,
        number=way.get("customer_number"),
        reports=_reports(dice, nth, fields),
        contact_id=found,
        skip_reason=reason,
    )


def _right_contact(
    here: Sequence[ContactPlan], digits: str, rule: str
) -> tuple[str | None, str | None]:
    owners = sorted(
        (c for c in here if digits_of(c) == digits), key=lambda c: c.properties["createdate"]
    )
    if len(owners) > 1 and rule == "skip":
        return None, "ambiguous_contact"
    return (owners[-1] if rule == "recent" else owners[0]).id, None


def _reports(dice: random.Random, nth: int, fields: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """One to four reports, each telling something the others may leave out, never against them."""
    began = NOON + timedelta(minutes=nth)
    common = {
        "source": "webhook",
        "type": "inboundPhoneCall",
        "direction": "inbound",
        "started_at": began.isoformat(),
        "phone_number": "+12025550110",
    }
    later = {
        "ended_at": (began + timedelta(seconds=75)).isoformat(),
        "duration_ms": 75_600,
        "ended_reason": f"customer-ended-call-{nth}",
        "outcome": "completed",
        "customer_name": f"Caller <{nth}> & co",
        "assistant_name": f"Assistant {nth}",
        "success_evaluation": f"yes-{nth}",
        "transcript": f"AI: Harbor Dental.\nUser: TRANSCRIPT-CANARY {nth}.\n",
    }
    if dice.random() < 0.4:
        # Every recording is of another size, so no two files have the same content.
        recording = f"/_simulator/recordings/{nth}.wav?size={4000 + nth}"
        later["recording_url"] = f"{SIMULATOR}{recording}"
    count = dice.choice((1, 1, 2, 2, 3, 4))
    reports = []
    for i in range(count):
        kept = {key: value for key, value in later.items() if count == 1 or dice.random() < 0.6}
        at = (began + timedelta(seconds=80 + i)).isoformat()
        report = {**fields, **common, **kept, "updated_at": at, "received_at": at}
        if dice.random() < 0.8:
            report["summary"] = f"summary {nth}" + "".join(
                f" part-{n}-of-{nth}" for n in range(dice.randint(0, 3))
            )
        if dice.random() < 0.6:
            report["structured_data"] = {f"fact {i}": f"value-{i}-of-{nth}"}
        reports.append(report)
    return tuple(reports)


def _batches(
    dice: random.Random, calls: Sequence[CallPlan]
) -> tuple[tuple[dict[str, Any], ...], ...]:
    """All reports in some order, some of them twice or thrice, cut into batches."""
    deliveries = [
        report
        for call in calls
        for report in call.reports
        for _ in range(dice.choice((1, 1, 1, 2, 3)))
    ]
    dice.shuffle(deliveries)
    cuts = sorted(dice.sample(range(1, len(deliveries)), min(dice.randint(1, 5), 4)))
    edges = [0, *cuts, len(deliveries)]
    return tuple(tuple(deliveries[a:b]) for a, b in itertools.pairwise(edges) if a < b)


def _rounds(dice: random.Random, batches: int, *, plain: bool) -> tuple[Round, ...]:
    rounds: list[Round] = []
    waiting = list(range(batches))
    while waiting or len(rounds) < 2:
        if plain and len(rounds) == 2:
            break
        count = 1 if plain or dice.random() < 0.7 else 2
        workers = []
        for _ in range(count):
            taken = waiting if plain else waiting[: dice.randint(0 if rounds else 1, 3)]
            waiting = waiting[len(taken) :]
            mode = "binary" if plain else dice.choice(("run", "run", "run", "run", "target"))
            mishap = draw_mishap(dice) if dice.random() < 0.7 else None
            workers.append(WorkerPlan(mode, tuple(taken), mishap))
        rounds.append(
            Round(
                workers=tuple(workers),
                faults=tuple(draw_fault(dice, plain) for _ in range(dice.choice((0, 1, 2, 3, 5)))),
                traps=tuple(draw_trap(dice) for _ in range(dice.choice((0, 0, 0, 1)))),
                ahead_s=dice.choice((0.0, 0.0, 0.0, 15.0, 400.0, 4000.0)),
                log_is_held=dice.random() < 0.05,
                tokens_expire=dice.random() < 0.1,
            )
        )
        if len(rounds) == 6:
            break
    return tuple(rounds)
