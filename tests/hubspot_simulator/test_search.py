from __future__ import annotations

from typing import Any

import httpx
import pytest

from hubspot_simulator import Simulator

PATH = "/crm/objects/2026-09/contacts/search"
PHONE = "hs_searchable_calculated_phone_number"
MOBILE = "hs_searchable_calculated_mobile_number"


def by(name: str, operator: str, **values: Any) -> dict[str, Any]:
    return {"propertyName": name, "operator": operator, **values}


def search(client: httpx.Client, *filters: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"filterGroups": [{"filters": [one]} for one in filters], **more}
    return client.post(PATH, json=body)


def ids(response: httpx.Response) -> list[str]:
    return [found["id"] for found in response.json()["results"]]


@pytest.mark.parametrize(
    ("written", "national", "e164"),
    [
        pytest.param("+1 (202) 555-0123", "2025550123", "+12025550123", id="us-international"),
        pytest.param("202.555.0123", "2025550123", "+12025550123", id="us-national"),
        pytest.param("+44 (0)20 7946 0123", "2079460123", "+442079460123", id="uk-trunk-zero"),
        pytest.param("00004", "4", None, id="junk-stays-junk"),
    ],
)
def test_a_contact_is_found_by_its_national_number(
    simulator: Simulator, client: httpx.Client, written: str, national: str, e164: str | None
) -> None:
    contact = simulator.add_contact(phone=written)

    found = search(
        client,
        by(PHONE, "IN", values=[national]),
        properties=["phone", "hs_calculated_phone_number"],
    )

    assert ids(found) == [contact]
    assert found.json()["results"][0]["properties"]["hs_calculated_phone_number"] == e164
    assert found.json()["results"][0]["properties"]["phone"] == written


def test_a_mobile_number_is_searched_apart(simulator: Simulator, client: httpx.Client) -> None:
    contact = simulator.add_contact(mobilephone="+1 202 555 0199", phone="+1 202 555 0100")

    by_phone = search(client, by(PHONE, "IN", values=["2025550199"]))
    by_both = search(
        client, by(PHONE, "IN", values=["2025550199"]), by(MOBILE, "IN", values=["2025550199"])
    )

    assert ids(by_phone) == []
    assert ids(by_both) == [contact]


def test_a_country_code_in_the_value_finds_nothing(client: httpx.Client, contact_id: str) -> None:
    found = search(client, by(PHONE, "EQ", value="+12025550123"))

    assert found.json()["total"] == 0


def test_in_compares_lower_case_and_eq_does_not_care(
    simulator: Simulator, client: httpx.Client
) -> None:
    contact = simulator.add_contact(firstname="Zoë", lastname="McKay")

    assert ids(search(client, by("lastname", "IN", values=["McKay"]))) == []
    assert ids(search(client, by("lastname", "IN", values=["mckay"]))) == [contact]
    assert ids(search(client, by("lastname", "EQ", value="MCKAY"))) == [contact]


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        (by("firstname", "NEQ", value="ann"), ["bob", "nobody"]),
        (by("firstname", "NOT_IN", values=["ann"]), ["bob"]),
        (by("firstname", "HAS_PROPERTY"), ["ann", "bob"]),
        (by("firstname", "NOT_HAS_PROPERTY"), ["nobody"]),
        (by("email", "CONTAINS_TOKEN", value="*@example.com"), ["ann", "bob"]),
        (by("firstname", "NOT_CONTAINS_TOKEN", value="an*"), ["bob", "nobody"]),
        (by("firstname", "LT", value="b"), ["ann"]),
        (by("firstname", "GTE", value="bob"), ["bob"]),
        (by("firstname", "BETWEEN", value="a", highValue="b"), ["ann"]),
        (by("createdate", "GT", value="0"), ["ann", "bob", "nobody"]),
        (by("createdate", "LTE", value="2001-01-01T00:00:00Z"), []),
        (by("hs_object_id", "GT", value="0"), ["ann", "bob", "nobody"]),
    ],
    ids=lambda value: value["operator"] if isinstance(value, dict) else None,
)
def test_every_operator(
    simulator: Simulator, client: httpx.Client, condition: dict[str, Any], matches: list[str]
) -> None:
    named = {
        simulator.add_contact(firstname="Ann", email="ann@example.com"): "ann",
        simulator.add_contact(firstname="Bob", email="bob@example.com"): "bob",
        simulator.add_contact(phone="2025550123"): "nobody",
    }

    found = search(client, condition)

    assert sorted(named[i] for i in ids(found)) == matches


def test_filters_of_a_group_are_joined_by_and(simulator: Simulator, client: httpx.Client) -> None:
    simulator.add_contact(firstname="Ann", lastname="Lee")
    wanted = simulator.add_contact(firstname="Ann", lastname="Moss")
    filters = [by("firstname", "EQ", value="ann"), by("lastname", "EQ", value="moss")]

    found = client.post(PATH, json={"filterGroups": [{"filters": filters}]})

    assert ids(found) == [wanted]


ONE = by("firstname", "EQ", value="x")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"filterGroups": [{"filters": [ONE]}] * 6}, id="six-groups"),
        pytest.param({"filterGroups": [{"filters": [ONE] * 7}]}, id="seven-filters"),
        pytest.param({"filterGroups": [{"filters": [ONE] * 5}] * 4}, id="twenty-filters"),
        pytest.param({"limit": 201}, id="limit-over-200"),
        pytest.param({"limit": 0}, id="limit-zero"),
        pytest.param({"limit": "20"}, id="limit-as-text"),
        pytest.param({"after": "x"}, id="after-no-number"),
        pytest.param({"after": "9900", "limit": 200}, id="past-ten-thousand"),
        pytest.param({"sorts": ["firstname", "lastname"]}, id="two-sorts"),
        pytest.param({"filterGroups": [{"filters": []}]}, id="empty-group"),
        pytest.param({"filterGroups": [{"filters": [by("nope", "EQ", value="x")]}]}, id="unknown"),
        pytest.param(
            {"filterGroups": [{"filters": [by("phone", "IN", value="1")]}]}, id="in-without-values"
        ),
        pytest.param(
            {"filterGroups": [{"filters": [by("phone", "EQ", values=["1"])]}]}, id="eq-with-values"
        ),
        pytest.param(
            {"filterGroups": [{"filters": [by("phone", "BETWEEN", value="1")]}]}, id="half-between"
        ),
        pytest.param({"filterGroups": [{"filters": [by("phone", "LIKE", value="1")]}]}, id="like"),
        pytest.param({"filters": []}, id="unknown-key"),
        pytest.param({"query": "x" * 3_000}, id="over-3000-characters"),
    ],
)
def test_what_search_does_not_take_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post(PATH, json=body)

    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert answer.json()["status"] == "error"
    assert answer.json()["correlationId"]


def test_pages_go_on_where_the_last_one_ended(simulator: Simulator, client: httpx.Client) -> None:
    made = [simulator.add_contact(company="Acme") for _ in range(5)]
    first = search(client, by("company", "EQ", value="acme"), limit=2)

    after = first.json()["paging"]["next"]["after"]
    second = search(client, by("company", "EQ", value="acme"), limit=2, after=after)
    last = search(client, by("company", "EQ", value="acme"), limit=2, after="4")

    assert first.json()["total"] == 5
    assert ids(first) + ids(second) + ids(last) == made
    assert "paging" not in last.json()


def test_a_sort_orders_the_results(simulator: Simulator, client: httpx.Client) -> None:
    b, a = simulator.add_contact(firstname="B"), simulator.add_contact(firstname="A")

    up = client.post(
        PATH, json={"sorts": [{"propertyName": "firstname", "direction": "ASCENDING"}]}
    )
    down = client.post(PATH, json={"sorts": ["-firstname"]})

    assert ids(up) == [a, b]
    assert ids(down) == [b, a]


def test_a_new_contact_is_found_only_after_the_index_lag(
    simulator: Simulator, client: httpx.Client, clock: Any
) -> None:
    simulator.settings.index_lag_s = 30
    contact = simulator.add_contact(phone="2025550123")

    early = search(client, by(PHONE, "IN", values=["2025550123"]))
    direct = client.get(f"/crm/objects/2026-09/contacts/{contact}")
    clock.advance(31)
    late = search(client, by(PHONE, "IN", values=["2025550123"]))

    assert ids(early) == []
    assert direct.status_code == 200
    assert ids(late) == [contact]


def test_a_changed_number_is_found_by_the_new_value_only(
    client: httpx.Client, contact_id: str
) -> None:
    search(client, by(PHONE, "IN", values=["2025550123"]))
    client.patch(
        f"/crm/objects/2026-09/contacts/{contact_id}", json={"properties": {"phone": "2025550177"}}
    )

    assert ids(search(client, by(PHONE, "IN", values=["2025550123"]))) == []
    assert ids(search(client, by(PHONE, "IN", values=["2025550177"]))) == [contact_id]


def test_an_archived_contact_is_not_found(
    simulator: Simulator, client: httpx.Client, contact_id: str
) -> None:
    simulator.archive_contact(contact_id)

    assert ids(search(client, by(PHONE, "IN", values=["2025550123"]))) == []


def test_notes_are_found_by_the_contact_they_belong_to(
    client: httpx.Client, contact_id: str, a_note: Any
) -> None:
    note = client.post("/crm/objects/2026-09/notes", json=a_note()).json()["id"]
    body = {"filterGroups": [{"filters": [by("associations.contact", "EQ", value=contact_id)]}]}

    found = client.post("/crm/objects/2026-09/notes/search", json=body)

    assert ids(found) == [note]


def test_a_free_text_query_looks_through_names_and_numbers(
    simulator: Simulator, client: httpx.Client
) -> None:
    contact = simulator.add_contact(firstname="Quentin", phone="2025550123")

    assert ids(client.post(PATH, json={"query": "quentin"})) == [contact]
    assert ids(client.post(PATH, json={"query": "nobody"})) == []


def test_a_portal_may_hide_what_was_written(
    simulator: Simulator, client: httpx.Client, contact_id: str
) -> None:
    simulator.settings.hide_written_phones = True
    names = ["phone", "hs_calculated_phone_number"]

    found = search(client, by(PHONE, "IN", values=["2025550123"]), properties=names).json()
    read = client.get(
        f"/crm/objects/2026-09/contacts/{contact_id}", params={"properties": ",".join(names)}
    ).json()

    assert found["results"][0]["properties"]["phone"] is None
    assert found["results"][0]["properties"]["hs_calculated_phone_number"] == "+12025550123"
    assert read["properties"]["phone"] is None
