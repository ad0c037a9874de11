"""The pretend portal's notes as one page, to look at after the demo.

Knows contacts and notes as the portal holds them; it must not know how they came to be.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Notes of the demo's portal</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
article { border: 1px solid #ccc; border-radius: 8px; padding: 0 1rem; margin: 1rem 0 }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: 2px 8px }
</style>
<h1>Notes of the demo's portal</h1>
"""


def build_notes_page(
    contacts: Sequence[Mapping[str, Any]], notes: Sequence[Mapping[str, Any]]
) -> str:
    """An HTML page of all notes under the names of their contacts, newest call first."""
    names = {contact["id"]: _name_and_email(contact) for contact in contacts}
    newest_first = sorted(
        notes, key=lambda note: str(note["properties"].get("hs_timestamp")), reverse=True
    )
    articles = []
    for note in newest_first:
        owners = [names.get(i, i) for i in note["associations"].get("contacts", [])]
        heading = html.escape(", ".join(owners) or "no contact")
        # HubSpot cleans a note's HTML when it is saved, and so does the simulator.
        body = note["properties"].get("hs_note_body") or ""
        articles.append(f"<article><h2>{heading}</h2>{body}</article>\n")
    return "".join([_HEAD, *articles, "</html>\n"])


def full_name(contact: Row) -> str:
    """First and last name of a contact, empty where it has none."""
    parts = (contact["properties"].get("firstname"), contact["properties"].get("lastname"))
    return " ".join(part for part in parts if part)


def _name_and_email(contact: Row) -> str:
    email = contact["properties"].get("email")
    name = full_name(contact)
    return f"{name} <{email}>" if email else name
