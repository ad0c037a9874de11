import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import phonenumbers
import pytest

from tap_vapi.streams import CALLS_SCHEMA
from tests.tap_vapi.stand_in import a_call

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data"
REPORTS = sorted((SAMPLE_DATA / "reports").iterdir())
EXPECTED = {
    entry["report"]: entry
    for entry in json.loads((SAMPLE_DATA / "expected_outcomes.json").read_text())
}
CONTACTS: list[dict[str, str]] = json.loads((SAMPLE_DATA / "contacts.json").read_text())
FICTIONAL_NUMBERS = {
    "North America, 555-0100 to 555-0199": r"\+1[2-9]\d\d55501\d\d",
    "London, 020 7946 0000 to 0999": r"\+442079460\d{3}",
    "Berlin, 030 23125 000 to 999": r"\+493023125\d{3}",
    "German mobile, 0171 39200 00 to 99": r"\+4917139200\d\d",
    "France, 01 99 00 00 00 to 99 99": r"\+3319900\d{4}",
    "Australia, 02 5550 0000 to 9999": r"\+6125550\d{4}",
    "Stockholm, 08 465 004 00 to 99": r"\+468465004\d\d",
}
REACHED = {"created", "updated", "unchanged"}


@pytest.fixture(scope="session")
def vapi_validator() -> Any:
    from vapi.types import ServerMessageEndOfCallReport  # takes about 9 s

    return ServerMessageEndOfCallReport


@pytest.mark.long
@pytest.mark.timeout(180)
def test_every_report_is_taken_or_refused_by_vapis_own_validator_as_it_says(
    vapi_validator: Any,
) -> None:
    accepted = {path.name: accepts(vapi_validator, load(path)["message"]) for path in REPORTS}

    assert accepted == {name: entry["vapi_validator_accepts"] for name, entry in EXPECTED.items()}


def test_what_the_tap_is_tested_with_is_a_call_to_vapis_own_models(vapi_validator: Any) -> None:
    from vapi.types import Call

    call = a_call(1, datetime(2026, 11, 20, 15, 5, tzinfo=UTC))

    parsed = Call.model_validate(call)

    assert parsed.id == call["id"]
    assert parsed.artifact is not None
    assert parsed.artifact.transcript == call["artifact"]["transcript"]


def test_every_report_has_one_expected_outcome() -> None:
    assert [path.name for path in REPORTS] == sorted(EXPECTED)
    assert len(EXPECTED) >= 12


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_an_expected_outcome_is_about_the_call_of_its_report(path: Path) -> None:
    message, entry = load(path)["message"], EXPECTED[path.name]

    assert entry["call_id"] == message["call"]["id"]
    assert entry["stored"] is (message["type"] == "end-of-call-report")
    assert (entry["expect"] is None) is not entry["stored"]
    assert entry["round"] in (1, 2)


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_a_report_can_be_posted_as_it_lies(path: Path) -> None:
    assert path.stat().st_size < 150_000
    assert list(load(path)) == ["message"]


def test_one_transcript_is_longer_than_a_note_may_be() -> None:
    body = load(SAMPLE_DATA / "reports" / "11-long-transcript.json")

    assert len(body["message"]["artifact"]["transcript"]) > 65_536


def test_the_report_that_is_sent_again_next_day_is_the_same_to_the_byte() -> None:
    reports = SAMPLE_DATA / "reports"

    first = (reports / "02-outbound-talk.json").read_bytes()

    assert (reports / "23-delivered-again-next-day.json").read_bytes() == first


def test_every_number_is_kept_for_fiction_and_possible() -> None:
    written = [text for path in REPORTS for text in numbers_in(load(path))]
    written += [record["customer_number"] for record in singer_records()]
    written += [match for contact in CONTACTS for match in contact_numbers(contact)]

    for number in sorted(set(written) - {"+1"}):
        assert any(re.fullmatch(form, number) for form in FICTIONAL_NUMBERS.values()), number
        assert phonenumbers.is_valid_number(phonenumbers.parse(number)), number


def test_nobody_has_an_address_that_could_exist() -> None:
    for contact in CONTACTS:
        assert re.fullmatch(r"[a-z.]+@example\.[a-z.]+", contact["email"])


def test_contacts_are_many_and_each_is_one_person() -> None:
    assert len(CONTACTS) >= 20
    assert len({contact["email"] for contact in CONTACTS}) == len(CONTACTS)


@pytest.mark.parametrize(
    "entry",
    [entry for entry in EXPECTED.values() if entry["stored"]],
    ids=lambda entry: str(entry["report"]),
)
def test_the_expected_contact_is_the_one_with_the_callers_number(entry: dict[str, Any]) -> None:
    message = load(SAMPLE_DATA / "reports" / entry["report"])["message"]
    number = message.get("customer", message["call"].get("customer", {})).get("number")

    owners = [contact for contact in CONTACTS if number and number in contact_numbers(contact)]
    hint = message["call"].get("assistantOverrides", {}).get("variableValues", {})
    named = [c for c in CONTACTS if "hs_object_id" in c and c["hs_object_id"] in hint.values()]
    oldest = min(owners + named, key=lambda contact: contact.get("createdate", ""), default=None)

    assert entry["expect"]["contact"] == (oldest["email"] if oldest else None)
    assert (entry["expect"]["reason"] in REACHED) is (oldest is not None)
    assert (entry["expect"]["status"] == "success") is (oldest is not None)


def test_the_singer_lines_have_the_schema_of_the_tap() -> None:
    messages = singer_messages()

    assert [message["type"] for message in messages] == ["SCHEMA", *["RECORD"] * 3, "STATE"]
    assert messages[0]["schema"] == CALLS_SCHEMA
    for record in singer_records():
        assert [*record, "unusable"] == list(CALLS_SCHEMA["properties"])


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def accepts(validator: Any, message: dict[str, Any]) -> bool:
    try:
        validator.model_validate(message)
    except ValueError:
        return False
    return True


def numbers_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [item for name, item in value.items() if name == "number" and isinstance(item, str)]
        return own + [number for item in value.values() for number in numbers_in(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers_in(item)]
    return []


def contact_numbers(contact: dict[str, str]) -> list[str]:
    """The contact's numbers as E.164, read as a telephone in the United States would."""
    numbers = []
    for name in ("phone", "mobilephone"):
        for match in phonenumbers.PhoneNumberMatcher(contact.get(name, ""), "US"):
            numbers.append(
                phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)
            )
    return numbers


def singer_messages() -> list[dict[str, Any]]:
    lines = (SAMPLE_DATA / "calls.singer.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def singer_records() -> list[dict[str, Any]]:
    return [message["record"] for message in singer_messages() if message["type"] == "RECORD"]
