import pytest

from call_stream.ended_reason import to_outcome


@pytest.mark.parametrize(
    ("ended_reason", "outcome"),
    [
        ("customer-ended-call", "completed"),
        ("assistant-forwarded-call", "completed"),
        ("hangup", "completed"),
        ("exceeded-max-duration", "completed"),
        ("silence-timed-out", "completed"),
        ("call.in-progress.sip-completed-call", "completed"),
        ("call.forwarding.operator-busy", "completed"),
        ("call.forwarding.no-answer", "completed"),
        ("customer-did-not-answer", "no_answer"),
        ("customer-busy", "busy"),
        ("voicemail", "voicemail"),
        (" Voicemail ", "voicemail"),
        ("manually-canceled", "canceled"),
        ("scheduled-call-deleted", "canceled"),
        ("call-deleted", "canceled"),
        ("call.ringing.sip-inbound-caller-hungup-before-call-connect", "canceled"),
        ("call.start.error-get-transport", "failed"),
        ("call.start.error-subscription-frozen", "failed"),
        ("call.in-progress.error-vapifault-voicemail-detection-failed", "failed"),
        ("pipeline-error-openai-llm-failed", "failed"),
        ("twilio-failed-to-connect-call", "failed"),
        ("twilio-reported-customer-misdialed", "failed"),
        ("vonage-rejected", "failed"),
        ("assistant-not-found", "failed"),
        ("assistant-not-valid", "failed"),
        ("assistant-join-timed-out", "failed"),
        ("customer-did-not-give-microphone-permission", "failed"),
        ("mirrored-by-terrorbyte", "completed"),
    ],
)
def test_an_ended_reason_says_how_the_call_went(ended_reason: str, outcome: str) -> None:
    assert to_outcome(ended_reason, talked=False) == outcome


def test_a_failure_after_a_talk_is_a_talk_cut_short() -> None:
    assert to_outcome("call.in-progress.error-transfer-failed", talked=True) == "completed"


def test_a_voicemail_with_a_transcript_stays_a_voicemail() -> None:
    assert to_outcome("voicemail", talked=True) == "voicemail"


@pytest.mark.parametrize(("talked", "outcome"), [(True, "completed"), (False, None)])
def test_without_a_reason_only_a_talk_says_something(talked: bool, outcome: str | None) -> None:
    assert to_outcome(None, talked=talked) == outcome
