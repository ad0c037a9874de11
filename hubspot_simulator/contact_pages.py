"""The pages where HubSpot shows contacts to a person: the list, one contact, and the way to add.

They need no token and no request of them is counted or logged; how they look is contact_markup.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from .answers import HubSpotError
from .contact_markup import (
    FORM_FIELDS,
    ActivityView,
    ContactRow,
    contact_page,
    contact_path,
    contacts_path,
    list_page,
    missing_page,
    utc,
)
from .kinds import CALL, CONTACT, NOTE
from .portal import Portal
from .records import CrmObject
from .state import SimulatorState
from .times import to_epoch_ms

_ADDRESS = re.compile(r"/contacts/[0-9]{1,15}(?:/|\Z)")
_LISTED = 500
_HEADERS = {
    # Bodies of notes come from elsewhere: nothing in them may run, load or lead a form away.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
_NOTHING = "Give a name, a phone number or an e-mail address."


def is_contact_page(path: str) -> bool:
    """Whether a path is one of a person's pages, and none of the API's."""
    return _ADDRESS.match(path) is not None


class ContactPages:
    """Contact pages over one state."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """All addresses of contact pages, the last for those where nothing is."""
        portal = "/contacts/{portal_id:int}"
        listed = f"{portal}/objects/{CONTACT.type_id}"
        return [
            Route(listed, self.show_list, methods=["GET"]),
            Route(listed, self.add, methods=["POST"]),
            Route(listed + "/views/{view}/list", self.show_list, methods=["GET"]),
            Route(f"{portal}/record/{CONTACT.type_id}/{{contact_id}}", self.show_contact),
            Route(portal + "{rest:path}", self.show_nothing),
        ]

    async def show_list(self, request: Request) -> Response:
        """GET .../objects/0-1: the portal's contacts, newest first."""
        with self._state.lock:
            portal = self._portal(request)
            return _html(_list(portal)) if portal else _no_portal(request)

    async def add(self, request: Request) -> Response:
        """POST .../objects/0-1: on to the new contact, or back to the form with the reason."""
        form = await request.form()
        typed = {name: str(form.get(name, "")).strip() for name in FORM_FIELDS}
        written = {name: value for name, value in typed.items() if value}
        with self._state.lock:
            portal = self._portal(request)
            if portal is None:
                return _no_portal(request)
            if not written:
                return _html(_list(portal, typed, (_NOTHING,)), 400)
            try:
                contact_id = self._state.add_contact(portal.id, written)
            except HubSpotError as err:
                reasons = tuple(error["message"] for error in err.errors) or (err.message,)
                return _html(_list(portal, typed, reasons), err.status)
        return RedirectResponse(contact_path(portal.id, contact_id), status_code=303)

    async def show_contact(self, request: Request) -> Response:
        """GET .../record/0-1/{contact_id}: one contact, with its notes and calls."""
        contact_id = request.path_params["contact_id"]
        with self._state.lock:
            portal = self._portal(request)
            if portal is None:
                return _no_portal(request)
            contact = portal.find(CONTACT, contact_id)
            if contact is None:
                what = f"Portal {portal.id} has no contact {contact_id}."
                return _html(missing_page(what), 404)
            activities = [_activity_view(portal, found) for found in _activities(portal, contact)]
            page = contact_page(
                portal.id, _name(portal, contact), _shown(portal, contact), activities
            )
        return _html(page)

    async def show_nothing(self, request: Request) -> Response:
        """Any other address of a portal: 404."""
        with self._state.lock:
            portal = self._portal(request)
        if portal is None:
            return _no_portal(request)
        what = f"The simulator shows contacts only, at {contacts_path(portal.id)}"
        return _html(missing_page(what), 404)

    def _portal(self, request: Request) -> Portal | None:
        return self._state.portals.get(request.path_params["portal_id"])


def _list(
    portal: Portal, typed: dict[str, str] | None = None, refusals: tuple[str, ...] = ()
) -> str:
    contacts = [*portal.records[CONTACT.name].values()]
    _newest_first(contacts, lambda contact: contact.created_at)
    rows = [_row(portal, contact) for contact in contacts[:_LISTED]]
    return list_page(portal.id, rows, len(contacts), typed=typed or {}, refusals=refusals)


def _row(portal: Portal, contact: CrmObject) -> ContactRow:
    joined = portal.associations.of
    return ContactRow(
        contact.id,
        _name(portal, contact),
        _phone(portal, contact),
        contact.properties.get("email", ""),
        len(joined(CONTACT.name, contact.id, NOTE.name)),
        len(joined(CONTACT.name, contact.id, CALL.name)),
    )


def _name(portal: Portal, contact: CrmObject) -> str:
    written = contact.properties
    names = [written[name] for name in ("firstname", "lastname") if name in written]
    return (
        " ".join(names)
        or written.get("email")
        or _phone(portal, contact)
        or f"Contact {contact.id}"
    )


def _phone(portal: Portal, contact: CrmObject) -> str:
    seen = portal.without_hidden({**contact.properties})
    names = ("phone", "mobilephone", "hs_calculated_phone_number", "hs_calculated_mobile_number")
    return next((value for name in names if (value := seen.get(name))), "")


def _activities(portal: Portal, contact: CrmObject) -> list[CrmObject]:
    found = [
        portal.records[kind.name][record_id]
        for kind in (NOTE, CALL)
        for record_id in portal.associations.of(CONTACT.name, contact.id, kind.name)
    ]
    _newest_first(found, _happened_at)
    return found


def _activity_view(portal: Portal, record: CrmObject) -> ActivityView:
    body = record.kind.rich_text[0]
    apart = {body, "hs_body_preview", "hs_attachment_ids"}
    written = record.properties.get("hs_attachment_ids", "")
    return ActivityView(
        kind=record.kind.singular.capitalize(),
        at=utc(_happened_at(record)),
        body=record.properties.get(body, ""),
        files=tuple(_file_name(portal, found) for found in re.findall(r"[^;,\s]+", written)),
        properties={
            name: value for name, value in _shown(portal, record).items() if name not in apart
        },
    )


def _file_name(portal: Portal, file_id: str) -> str:
    found = portal.files.files.get(file_id)
    return found.full_name if found else f"file {file_id}, which is not there"


def _shown(portal: Portal, record: CrmObject) -> dict[str, str]:
    """What a reader may see: what people write first, then what the portal itself keeps."""
    known = portal.catalogs[record.kind.name].properties
    seen = portal.without_hidden({**record.properties})
    names = [name for name in known if seen.get(name)]
    names.sort(key=lambda name: known[name].read_only)
    return {
        name: utc(value) if known[name].type == "datetime" else value
        for name in names
        if (value := seen[name]) is not None
    }


def _newest_first(records: list[CrmObject], written_at: Callable[[CrmObject], str]) -> None:
    # Turned round first: of those of one moment, the one made last stands on top.
    records.reverse()
    records.sort(key=lambda record: _moment(written_at(record)), reverse=True)


def _happened_at(record: CrmObject) -> str:
    return record.properties.get("hs_timestamp", record.created_at)


def _moment(written: str) -> int:
    try:
        return to_epoch_ms(written) or 0
    except (ValueError, OverflowError):
        return 0


def _no_portal(request: Request) -> Response:
    what = f"The simulator has no portal {request.path_params['portal_id']}."
    return _html(missing_page(what), 404)


def _html(page: str, status: int = 200) -> Response:
    return HTMLResponse(page, status_code=status, headers=_HEADERS)
