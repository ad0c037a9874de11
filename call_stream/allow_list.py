"""Which members of a call report are stored: these and no others, by the names of every era.

Knows names and forms only; whether a value is any good is decided when it becomes a call record.
A report also carries secrets (tokens, control URLs, prompts): what is not named here is skipped
while the body is decoded and exists nowhere after that.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

Scalar = str | int | float | bool | None


class _Allowed(Struct, rename="camel", omit_defaults=True, gc=False):
    """An object of which only the members named in its class are let through.

    What is decoded never leads back to itself, so the garbage collector need not look at it.
    """


class Customer(_Allowed):
    """The other party."""

    number: Scalar = None
    name: Scalar = None
    email: Scalar = None
    external_id: Scalar = None


class PhoneNumber(_Allowed):
    """Our line, without its provider's credentials."""

    number: Scalar = None


class Assistant(_Allowed):
    """The assistant, without its prompts, tools and servers."""

    id: Scalar = None
    name: Scalar = None


class AssistantActivation(_Allowed):
    """One assistant of a squad taking over."""

    assistant_id: Scalar = None
    assistant_name: Scalar = None


class MonoRecording(_Allowed):
    """Both sides on one track."""

    combined_url: Scalar = None


class Recording(_Allowed):
    """Where the recordings lie."""

    mono: MonoRecording | None = None
    mono_url: Scalar = None
    stereo_url: Scalar = None


class Turn(_Allowed):
    """One turn of a transcript that came as a list."""

    role: Scalar = None
    message: Scalar = None
    content: Scalar = None


class StructuredOutput(_Allowed):
    """One thing the assistant extracted."""

    name: Scalar = None
    result: Any = None


class VariableValues(_Allowed, rename=None):
    """The contact that a caller of VAPI's API named; all other variables may be secrets."""

    hubspot_contact_id: Scalar = None
    camel_contact_id: Scalar = field(default=None, name="hubspotContactId")
    contact_id: Scalar = None


class AssistantOverrides(_Allowed):
    """What a caller of VAPI's API changed for one call."""

    variable_values: VariableValues | None = None


class _Remains(_Allowed):
    """What a call leaves behind."""

    transcript: str | list[Turn | None] | None = None
    recording: Recording | str | None = None
    recording_url: Scalar = None
    stereo_recording_url: Scalar = None
    presigned_mono_url: Scalar = None
    presigned_stereo_url: Scalar = None
    presigned_urls_expires_at: Scalar = None
    structured_outputs: (
        dict[str, StructuredOutput | None] | list[StructuredOutput | None] | None
    ) = None
    assistant_activations: list[AssistantActivation | None] | None = None


class Artifact(_Remains):
    """What a call leaves behind, where today's reports put it."""

    variable_values: VariableValues | None = None


class Analysis(_Allowed):
    """What VAPI made of a call."""

    summary: Scalar = None
    success_evaluation: Scalar = None
    structured_data: dict[str, Any] | None = None


class _Place(_Remains):
    """An object that describes a call; older eras put the artifact and the analysis flat in it."""

    type: Scalar = None
    started_at: Scalar = None
    ended_at: Scalar = None
    created_at: Scalar = None
    ended_reason: Scalar = None
    duration_ms: Scalar = None
    duration_seconds: Scalar = None
    cost: Scalar = None
    summary: Scalar = None
    success_evaluation: Scalar = None
    structured_data: dict[str, Any] | None = None
    customer: Customer | None = None
    phone_number: PhoneNumber | None = None
    assistant: Assistant | None = None
    assistant_id: Scalar = None
    assistant_overrides: AssistantOverrides | None = None
    artifact: Artifact | None = None
    analysis: Analysis | None = None


class Call(_Place):
    """The call of a report, as it was when it was created."""

    id: Scalar = None


class Report(_Place):
    """An end-of-call report."""

    timestamp: Scalar = None
    call: Call | None = None


class Body(Struct, gc=False):
    """The body of a webhook's request."""

    message: Report | None = None
