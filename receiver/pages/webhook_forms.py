"""What people type into the forms of a webhook, checked; and what is wrong with it, in a sentence.

Pure. Bounds are those of the command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from receiver.pages.webhook_words import OFFERED_WAYS
from target_hubspot_calls.errors import InvalidPhoneNumber
from target_hubspot_calls.phone import parse_number
from target_hubspot_calls.store.webhook_auth import WebhookAuth

LONGEST_LABEL = 200
MOST_ASSISTANTS = 50
LONGEST_NUMBER = 40
_ASSISTANT = re.compile(r"[!-~]{1,200}")
NEW = "new"
"""The form that makes a webhook; the others are named by their webhook's id."""


class FormFault(Exception):
    """A form that cannot be used: which, which field of it, why, and what was typed."""

    def __init__(self, form: str, field: str, sentence: str, typed: Mapping[str, str]) -> None:
        super().__init__(sentence)
        self.form = form
        self.field = field
        self.sentence = sentence
        self.typed = typed


@dataclass(frozen=True)
class WebhookForm:
    """What a form says of a webhook."""

    label: str | None
    assistant_ids: tuple[str, ...]


def read_way(typed: Mapping[str, str]) -> WebhookAuth:
    """The way of proof that was chosen. Raises FormFault."""
    for way in OFFERED_WAYS:
        if typed.get("auth") == way:
            return way
    raise FormFault(NEW, "auth", "Choose how VAPI proves itself.", typed)


def read_webhook_form(form: str, typed: Mapping[str, str]) -> WebhookForm:
    """Name and assistants. Raises FormFault."""
    label = typed.get("label", "").strip()
    if len(label) > LONGEST_LABEL or not label.isprintable():
        sentence = f"The name must be at most {LONGEST_LABEL} characters in one line."
        raise FormFault(form, "label", sentence, typed)
    assistant_ids = tuple(dict.fromkeys(typed.get("assistants", "").replace(",", " ").split()))
    if len(assistant_ids) > MOST_ASSISTANTS:
        sentence = f"At most {MOST_ASSISTANTS} assistants can be named; leave it empty for all."
        raise FormFault(form, "assistants", sentence, typed)
    if not all(_ASSISTANT.fullmatch(each) for each in assistant_ids):
        sentence = "An assistant ID has letters, digits and hyphens, as VAPI shows it."
        raise FormFault(form, "assistants", sentence, typed)
    return WebhookForm(label or None, assistant_ids)


def read_number(form: str, typed: Mapping[str, str], default_region: str) -> str | None:
    """The phone number for a test call as VAPI writes them, None without one. Raises FormFault."""
    written = typed.get("number", "").strip()
    if not written:
        return None
    try:
        return parse_number(written[: LONGEST_NUMBER + 1], default_region).e164
    except InvalidPhoneNumber:
        sentence = "This is no phone number; write it like +1 202 555 0142."
        raise FormFault(form, "number", sentence, typed) from None
