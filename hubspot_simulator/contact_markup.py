"""The contact pages as HTML: the list of a portal, one contact, and nothing found.

Pure. All text is escaped but the bodies of notes and calls, which a portal keeps as clean HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from .kinds import CONTACT
from .times import iso, to_epoch_ms

FORM_FIELDS = {
    "firstname": "First name",
    "lastname": "Last name",
    "phone": "Phone",
    "email": "E-mail",
}
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>body{{font-family:sans-serif;margin:1em auto;max-width:60em;padding:0 1em}}
table{{border-collapse:collapse}}td,th{{border:1px solid #767676;padding:.3em;text-align:left;
overflow-wrap:anywhere}}label{{display:block;margin:.5em 0}}article{{border-top:1px solid #767676}}
</style></head>
<body><p><strong>This is the simulator, not HubSpot.</strong></p><main><h1>{title}</h1>{body}</main>
</body></html>"""


@dataclass(frozen=True)
class ContactRow:
    """One contact as the list shows it."""

    id: str
    name: str
    phone: str
    email: str
    notes: int
    calls: int


@dataclass(frozen=True)
class ActivityView:
    """One note or call as its contact's page shows it; `body` is HTML, all else is text."""

    kind: str
    at: str
    body: str
    files: tuple[str, ...]
    properties: Mapping[str, str]


def contacts_path(portal_id: int) -> str:
    """Where the contacts of a portal are listed."""
    return f"/contacts/{portal_id}/objects/{CONTACT.type_id}"


def contact_path(portal_id: int, contact_id: str) -> str:
    """Where one contact is shown."""
    return f"/contacts/{portal_id}/record/{CONTACT.type_id}/{quote(contact_id, safe='')}"


def utc(written: str) -> str:
    """A time as people read it, in UTC; text that is no time stays as it is."""
    try:
        at = to_epoch_ms(written)
        return iso(at / 1000).replace("T", " ").replace("Z", " UTC") if at is not None else written
    except (ValueError, OverflowError, OSError):
        return written


def list_page(
    portal_id: int,
    rows: Iterable[ContactRow],
    total: int,
    *,
    typed: Mapping[str, str],
    refusals: Iterable[str] = (),
) -> str:
    """The contacts of a portal and the form to add one, with what was typed and why it was not
    taken.
    """
    shown = [_row(portal_id, row) for row in rows]
    count = "1 contact." if total == 1 else f"{total or 'No'} contacts."
    if len(shown) < total:
        count = f"The newest {len(shown)} of {total} contacts."
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("Name", "Phone", "E-mail", "Notes", "Calls")
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(shown)}</tbody></table>"
    return _page(
        f"Contacts of portal {portal_id}",
        _form(portal_id, typed, refusals) + f"<h2>Contacts</h2><p>{count}</p>{table}",
    )


def contact_page(
    portal_id: int, name: str, properties: Mapping[str, str], activities: Iterable[ActivityView]
) -> str:
    """One contact with its properties, notes and calls."""
    shown = "".join(_activity(activity) for activity in activities)
    return _page(
        name,
        f'<p><a href="{contacts_path(portal_id)}">All contacts</a></p>'
        f"<h2>Notes and calls</h2>{shown or '<p>No notes and no calls yet.</p>'}"
        f"<h2>Properties</h2>{_properties(properties)}",
    )


def missing_page(what: str) -> str:
    """The page that stands where there is nothing to show."""
    return _page("Not found", f"<p>{escape(what)}</p>")


def _row(portal_id: int, row: ContactRow) -> str:
    address = escape(contact_path(portal_id, row.id))
    cells = (
        f'<a href="{address}">{escape(row.name)}</a>',
        escape(row.phone),
        escape(row.email),
        str(row.notes),
        str(row.calls),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _form(portal_id: int, typed: Mapping[str, str], refusals: Iterable[str]) -> str:
    said = "".join(f'<p role="alert">{escape(refusal)}</p>' for refusal in refusals)
    fields = "".join(
        f'<label>{label} <input name="{name}" value="{escape(typed.get(name, ""))}"></label>'
        for name, label in FORM_FIELDS.items()
    )
    return (
        f'<h2>Add a contact</h2>{said}<form method="post" action="{contacts_path(portal_id)}">'
        f"{fields}<button>Add contact</button></form>"
    )


def _activity(activity: ActivityView) -> str:
    files = "".join(f"<li>{escape(name)}</li>" for name in activity.files)
    attached = f"<p>Attached files:</p><ul>{files}</ul>" if files else ""
    return (
        f"<article><h3>{escape(activity.kind)}, {escape(activity.at)}</h3>"
        f"<div>{activity.body}</div>{attached}"
        f"<details><summary>Properties</summary>{_properties(activity.properties)}</details>"
        "</article>"
    )


def _properties(properties: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in properties.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=escape(title), body=body)
