"""The pages at the addresses where HubSpot shows contacts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator

LIST = f"/contacts/{DEFAULT_PORTAL}/objects/0-1"
NOTES = "/crm/objects/2026-09/notes"
CALLS = "/crm/objects/2026-09/calls"
SEARCH = "/crm/objects/2026-09/contacts/search"
NOT_HUBSPOT = "This is the simulator, not HubSpot."
Builder = Callable[..., dict[str, Any]]


@pytest.fixture
def web(simulator: Simulator) -> Iterator[httpx.Client]:
    """A browser: no key."""
    with httpx.Client(base_url=simulator.url, trust_env=False, verify=False) as opened:
        yield opened


def page_of(contact_id: str) -> str:
    return f"/contacts/{DEFAULT_PORTAL}/record/0-1/{contact_id}"


def rows(page: httpx.Response) -> list[list[str]]:
    """The text of each cell below the heading of the page's first table."""
    table = page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row)]
        for row in table.split("</tr>")[:-1]
    ]


@pytest.mark.parametrize(
    "address",
    [LIST, f"{LIST}/views/all/list", f"{LIST}/views/my/list"],
    ids=["plain", "all", "another view"],
)
def test_the_list_shows_each_contact_with_a_link(
    simulator: Simulator,
    client: httpx.Client,
    web: httpx.Client,
    a_note: Builder,
    contact_id: str,
    address: str,
) -> None:
    client.post(NOTES, json=a_note()).raise_for_status()
    simulator.add_contact(email="zoe@example.test", mobilephone="+12025550199")

    page = web.get(address)

    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert rows(page) == [
        ["zoe@example.test", "+12025550199", "zoe@example.test", "0", "0"],
        ["Ann", "(202) 555-0123", "", "1", "0"],
    ]
    assert f'<a href="{page_of(contact_id)}">Ann</a>' in page.text
    assert NOT_HUBSPOT in page.text


def test_the_newest_contact_is_on_top_whenever_it_was_added(
    simulator: Simulator, web: httpx.Client
) -> None:
    for name, at in [("New", "2026-11-22T09:30:00.5Z"), ("Old", "2019-01-01T00:00:00Z")]:
        simulator.add_contact(firstname=name, createdate=at)
    simulator.add_contact(firstname="Newer", createdate="2026-11-22T09:30:01Z")

    names = [row[0] for row in rows(web.get(LIST))]

    assert names == ["Newer", "New", "Old"]


def test_a_long_list_says_what_it_leaves_out(simulator: Simulator, web: httpx.Client) -> None:
    simulator.seed_contacts({"firstname": f"Ann {n}"} for n in range(503))

    page = web.get(LIST)

    assert len(rows(page)) == 500
    assert "The newest 500 of 503 contacts." in page.text


def test_an_empty_portal_has_a_list_with_the_form_to_add_to_it(web: httpx.Client) -> None:
    page = web.get(LIST)

    assert "<p>No contacts.</p>" in page.text
    assert re.findall(r'<input [^>]*name="(\w+)"', page.text) == [
        "firstname",
        "lastname",
        "phone",
        "email",
    ]
    assert f'<form method="post" action="{LIST}">' in page.text


def test_a_contact_added_by_hand_is_found_by_its_number(
    simulator: Simulator, client: httpx.Client, web: httpx.Client
) -> None:
    form = {"firstname": " Zoë ", "lastname": "", "phone": "(202) 555-0199", "email": "Z@X.test"}

    answer = web.post(LIST, data=form)

    contact = simulator.contacts()[0]
    number = {
        "propertyName": "hs_searchable_calculated_phone_number",
        "operator": "EQ",
        "value": "2025550199",
    }
    found = client.post(SEARCH, json={"filterGroups": [{"filters": [number]}]}).json()
    assert (answer.status_code, answer.headers["location"]) == (303, page_of(contact["id"]))
    assert contact["properties"]["firstname"] == "Zoë"
    assert contact["properties"]["email"] == "z@x.test"
    assert "lastname" not in contact["properties"]
    assert contact["properties"]["hs_calculated_phone_number"] == "+12025550199"
    assert [result["id"] for result in found["results"]] == [contact["id"]]
    assert "Zoë" in web.get(answer.headers["location"]).text


def test_a_contact_added_by_hand_is_found_only_when_the_index_has_it(
    simulator: Simulator, client: httpx.Client, web: httpx.Client
) -> None:
    simulator.settings.index_lag_s = 10.0

    web.post(LIST, data={"firstname": "Zoë"})

    assert client.post(SEARCH, json={}).json()["total"] == 0
    assert rows(web.get(LIST))[0][0] == "Zoë"


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        pytest.param({}, 400, "Give a name, a phone number or an e-mail", id="nothing"),
        pytest.param({"phone": "  "}, 400, "Give a name, a phone number", id="blank"),
        pytest.param({"email": "nobody"}, 400, "Email address nobody is invalid", id="no e-mail"),
        pytest.param({"email": "ann@x.test"}, 409, "Contact already exists", id="taken"),
    ],
)
def test_a_contact_that_hubspot_would_refuse_is_refused_with_what_was_typed(
    simulator: Simulator, web: httpx.Client, form: dict[str, str], status: int, says: str
) -> None:
    simulator.add_contact(email="ann@x.test")

    page = web.post(LIST, data={**form, "lastname": ""})

    assert page.status_code == status
    assert says in page.text
    assert all(f'value="{value.strip()}"' in page.text for value in form.values())
    assert len(simulator.contacts()) == 1


def test_only_the_fields_of_the_form_are_taken(simulator: Simulator, web: httpx.Client) -> None:
    web.post(LIST, data={"firstname": "Ann", "hs_object_id": "7", "createdate": "2019-01-01"})

    contact = simulator.contacts()[0]
    assert contact["id"] != "7"
    assert contact["properties"]["createdate"] != "2019-01-01"


def test_a_contact_is_shown_with_its_properties_in_utc(web: httpx.Client, contact_id: str) -> None:
    page = web.get(page_of(contact_id))

    shown = dict(re.findall(r'<tr><th scope="row">(\w+)</th><td>(.*?)</td>', page.text))
    assert page.status_code == 200
    assert "<h1>Ann</h1>" in page.text
    assert shown["phone"] == "(202) 555-0123"
    assert shown["hs_calculated_phone_number"] == "+12025550123"
    assert shown["createdate"] == "2026-09-21 14:13:20 UTC"
    assert f'<a href="{LIST}">' in page.text
    assert "No notes and no calls yet." in page.text
    assert NOT_HUBSPOT in page.text


def test_notes_and_calls_are_shown_together_newest_first(
    client: httpx.Client, web: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    call = a_note(hs_timestamp="2026-11-21T08:00:00Z", hs_call_title="Inbound <call>")
    call["properties"]["hs_call_body"] = call["properties"].pop("hs_note_body")
    call["associations"][0]["types"][0]["associationTypeId"] = 194
    client.post(CALLS, json=call).raise_for_status()
    for at in ("2026-11-20T10:15:00Z", "2026-11-22T10:15:00.250Z"):
        client.post(NOTES, json=a_note(hs_timestamp=at)).raise_for_status()

    page = web.get(page_of(contact_id))

    assert re.findall(r"<h3>(.*?)</h3>", page.text) == [
        "Note, 2026-11-22 10:15:00.250 UTC",
        "Call, 2026-11-21 08:00:00 UTC",
        "Note, 2026-11-20 10:15:00 UTC",
    ]
    assert page.text.count("<p>Summary</p>") == 3
    assert '<th scope="row">hs_call_title</th><td>Inbound &lt;call&gt;</td>' in page.text


def test_a_note_is_shown_as_the_portal_keeps_it(
    simulator: Simulator,
    client: httpx.Client,
    web: httpx.Client,
    a_note: Builder,
    contact_id: str,
) -> None:
    body = (
        '<p onclick="x()">Said <b>yes</b></p><script>alert(1)</script><a href="javascript:x">a</a>'
    )
    client.post(NOTES, json=a_note(hs_note_body=body)).raise_for_status()

    page = web.get(page_of(contact_id))

    kept = simulator.notes()[0]["properties"]["hs_note_body"]
    assert kept == "<p>Said <b>yes</b></p><a>a</a>"
    assert kept in page.text
    assert "alert" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_attached_files_are_shown_by_name(
    client: httpx.Client, web: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    uploaded = client.post(
        "/files/2026-09/files",
        files={"file": ("<call>.wav", b"RIFF", "audio/wav")},
        data={"folderPath": "/calls", "options": '{"access":"PRIVATE"}'},
    )
    file_id = uploaded.json()["id"]
    note = a_note(hs_attachment_ids=f"{file_id};404404")
    client.post(NOTES, json=note).raise_for_status()

    page = web.get(page_of(contact_id))

    name = uploaded.json()["name"].replace("<", "&lt;").replace(">", "&gt;")
    assert f"<li>{name}.wav</li>" in page.text
    assert "<li>file 404404, which is not there</li>" in page.text


@pytest.mark.parametrize("field", ["firstname", "lastname", "phone", "email"])
def test_what_a_contact_is_called_is_text_and_never_markup(
    simulator: Simulator, web: httpx.Client, field: str
) -> None:
    written = '"><i>&x@y.test'
    contact_id = simulator.add_contact(DEFAULT_PORTAL, **{field: written})

    pages = [web.get(LIST), web.get(page_of(contact_id)), web.post(LIST, data={field: written})]

    assert all("<i>" not in page.text for page in pages)
    assert all("&lt;i&gt;&amp;x@y.test" in page.text for page in pages[:2])


def test_written_numbers_that_the_portal_hides_are_hidden_here_too(
    simulator: Simulator, web: httpx.Client, contact_id: str
) -> None:
    simulator.settings.hide_written_phones = True

    listed, shown = web.get(LIST), web.get(page_of(contact_id))

    assert rows(listed)[0][1] == "+12025550123"
    assert "(202) 555-0123" not in shown.text


@pytest.mark.parametrize("written", ["soon", "99999999999999999999", "²"])
def test_a_seeded_time_that_is_none_is_shown_as_written(
    simulator: Simulator, web: httpx.Client, written: str
) -> None:
    contact_id = simulator.add_contact(firstname="Ann", createdate=written)

    listed, shown = web.get(LIST), web.get(page_of(contact_id))

    assert rows(listed)[0][0] == "Ann"
    assert f'<th scope="row">createdate</th><td>{written}</td>' in shown.text


@pytest.mark.parametrize(
    "address",
    [
        "/contacts/999/objects/0-1",
        "/contacts/999/record/0-1/100451",
        page_of("999"),
        f"/contacts/{DEFAULT_PORTAL}/objects/0-46",
        f"/contacts/{DEFAULT_PORTAL}",
    ],
    ids=["no portal", "no portal of a contact", "no contact", "no contacts", "nothing"],
)
def test_an_unknown_address_is_a_page_that_says_so(
    simulator: Simulator, web: httpx.Client, address: str
) -> None:
    page = web.get(address)

    assert page.status_code == 404
    assert "<h1>Not found</h1>" in page.text
    assert NOT_HUBSPOT in page.text
    assert list(simulator.state.portals) == [DEFAULT_PORTAL]


def test_nobody_can_be_added_to_a_portal_that_is_not_there(
    simulator: Simulator, web: httpx.Client
) -> None:
    page = web.post("/contacts/999/objects/0-1", data={"firstname": "Ann"})

    assert page.status_code == 404
    assert list(simulator.state.portals) == [DEFAULT_PORTAL]


def test_an_archived_contact_is_gone_from_the_pages(
    simulator: Simulator, web: httpx.Client, contact_id: str
) -> None:
    simulator.archive_contact(contact_id)

    assert web.get(page_of(contact_id)).status_code == 404
    assert rows(web.get(LIST)) == []


def test_the_pages_count_neither_as_requests_nor_against_limits(
    simulator: Simulator, web: httpx.Client, contact_id: str
) -> None:
    simulator.settings.rate_limits = True
    simulator.settings.requests_per_day = 1

    statuses = [
        web.get(LIST).status_code,
        web.get(page_of(contact_id)).status_code,
        web.post(LIST, data={"firstname": "Zoë"}).status_code,
        web.get(page_of("999")).status_code,
    ]

    assert statuses == [200, 200, 303, 404]
    assert simulator.requests() == []
    assert simulator.counts() == {}
    assert simulator.state.rates.report() == []


@pytest.mark.parametrize("path", ["/contacts/v1/lists", f"/contacts/{'9' * 5000}/objects/0-1"])
def test_addresses_that_hubspot_has_no_page_at_are_the_apis(
    simulator: Simulator, web: httpx.Client, path: str
) -> None:
    answer = web.get(path)

    assert (answer.status_code, answer.json()["message"]) == (404, "resource not found")
    assert len(simulator.requests()) == 1
