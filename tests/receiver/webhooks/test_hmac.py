"""Webhooks whose sender signs each request."""

import asyncio
import base64
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from hypothesis import assume, given
from hypothesis import strategies as st

from receiver.hmac_signatures import SignedCheck
from receiver.signatures import Unproven
from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.store.webhook_auth import STANDARD_WEBHOOKS, HmacPlan

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

PLANS = {
    "VAPI's defaults": HmacPlan(),
    "sha512": HmacPlan(algorithm="sha512"),
    "sha1": HmacPlan(algorithm="sha1"),
    "base64": HmacPlan(encoding="base64"),
    "a prefix": HmacPlan(prefix="sha256="),
    "VAPI's older names": HmacPlan(
        signature_header="X-Vapi-Signature", timestamp_header="X-Vapi-Timestamp"
    ),
    "body only": HmacPlan(include_timestamp=False, payload_format="{body}"),
    "unsigned timestamp": HmacPlan(payload_format="{body}"),
    "everything": HmacPlan(
        payload_format="{method} {url}\n{timestamp}:{svix-id}\n{body}.end",
        message_id_header="svix-id",
    ),
    "base64 secret": HmacPlan(secret_is_base64=True),
    "Standard Webhooks": STANDARD_WEBHOOKS,
}


@pytest.fixture(params=PLANS.values(), ids=PLANS.keys())
def plan(request):
    return request.param


@pytest.fixture
def hook(door):
    """A webhook with VAPI's defaults, and its secret."""
    return door.webhooks.create("ada", "sales", "hmac")


def test_a_signature_by_any_plan_is_accepted(door, report, sign, plan):
    webhook, secret = door.webhooks.create("ada", "sales", "hmac", options=plan)
    url = f"https://calls.example/api/webhooks/{webhook.id}?a=b"

    answer = door.post(webhook, sign(plan, secret, report(), url=url), report(), query=b"a=b")

    assert answer.status == 200
    assert door.stored() == ["call-1"]


def test_any_plan_refuses_what_was_not_signed(door, report, sign, plan):
    webhook, secret = door.webhooks.create("ada", "sales", "hmac", options=plan)
    url = f"https://calls.example/api/webhooks/{webhook.id}"
    right = sign(plan, secret, report(), url=url)
    name = plan.signature_header
    wrong = [
        {},
        {**right, name: ""},
        {**right, name: right[name][:-1]},
        {**right, name: right[name] + "0"},
        {**right, name: right[name].swapcase()},
        {**right, name: "v0," + right[name].removeprefix(plan.prefix)},
        {**right, name: secret},
        {**right, name: b"\xff" + right[name].encode()},
        {**right, name: bytes(range(0x80, 0x100))},
        {**right, name: " ".join(["0" * 64] * 999 + [right[name]])},
        {**right, name: " ".join([right[name]] * 11)},
        {**right, name: right[name] + "," + right[name]},
        sign(plan, secret, report("other"), url=url),
        sign(plan, base64.b64encode(b"another secret").decode(), report(), url=url),
        {"X-Vapi-Secret": secret},
        {"Authorization": f"Bearer {secret}"},
    ]

    answers = [door.post(webhook, headers, report()) for headers in wrong]

    assert [answer.status for answer in answers] == [401] * len(wrong)
    assert len({answer.body for answer in answers}) == 1
    assert door.stored() == []


def test_any_changed_byte_of_the_body_is_refused(door, report, sign, hook):
    webhook, secret = hook
    body = report()
    headers = sign(HmacPlan(), secret, body)
    changed = [body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] for at in range(len(body))]
    changed += [body + b" ", b" " + body, body.replace(b": ", b":"), body[:-1]]

    answers = {door.post(webhook, headers, each).status for each in changed}

    assert answers == {401}
    assert door.stored() == []


@pytest.mark.parametrize("name", ["x-signature", "x-timestamp"])
def test_a_header_that_comes_twice_is_refused(door, report, sign, hook, name):
    webhook, secret = hook
    headers = [(k.encode(), v.encode()) for k, v in sign(HmacPlan(), secret, report()).items()]
    twice = headers + [pair for pair in headers if pair[0] == name.encode()]

    answer = door.post(webhook, twice, report())

    assert (answer.status, door.outcomes()) == (401, ["repeated_header"])


@pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds"])
@pytest.mark.parametrize(
    ("late_s", "status"),
    [(0, 200), (300, 200), (-300, 200), (301, 401), (-301, 401), (360, 401), (-360, 401)],
)
def test_a_timestamp_may_be_five_minutes_off_and_no_more(
    door, report, sign, hook, unit, late_s, status
):
    webhook, secret = hook
    at = str(int((NOON - timedelta(seconds=late_s)).timestamp()) * unit)

    answer = door.post(webhook, sign(HmacPlan(), secret, report(), at=at), report())

    assert answer.status == status
    assert door.outcomes() == ["stored" if status == 200 else "stale_timestamp"]


@pytest.mark.parametrize(
    "written",
    [
        *("", "x", "-1795176000", "+1795176000", "1795176000.0", "1795176000 ", " 1795176000"),
        *("9" * 20, "0x6b000000", "1_795_176_000", "2026-11-20T12:00:00Z", "NaN", "1e9", "0"),
        *("\u0661\u0667\u0669\u0665\u0661\u0667\u0666\u0660\u0660\u0660", "9" * 5000),
    ],
    ids=lambda written: repr(written[:22]),
)
def test_an_odd_timestamp_is_refused_though_it_is_signed(door, report, sign, hook, written):
    webhook, secret = hook

    answer = door.post(webhook, sign(HmacPlan(), secret, report(), at=written), report())

    assert (answer.status, answer.code) == (401, "unauthorized")


@pytest.mark.parametrize(
    "message_id", ["", "a.b", "msg_1.1795176000", "a b", "\u00e9", "x" * 201, "a\tb", "{body}"]
)
def test_an_odd_message_id_is_refused_though_it_is_signed(door, report, sign, message_id):
    webhook, secret = door.webhooks.create("ada", "sales", "hmac", options=STANDARD_WEBHOOKS)
    headers = sign(STANDARD_WEBHOOKS, secret, report(), message_id=message_id)

    answer = door.post(webhook, headers, report())

    assert (answer.status, answer.code) == (401, "unauthorized")


def test_one_of_several_signatures_is_enough(door, report, sign):
    webhook, secret = door.webhooks.create("ada", "sales", "hmac", options=STANDARD_WEBHOOKS)
    headers = sign(STANDARD_WEBHOOKS, secret, report())
    right = headers["webhook-signature"]
    headers["webhook-signature"] = f"v1,AAAA v1a,{right[3:]} v2,x {right}"

    answer = door.post(webhook, headers, report())

    assert answer.status == 200


def test_the_address_as_the_sender_knows_it_is_signed(door, report, sign):
    plan = HmacPlan(payload_format="{url}.{timestamp}.{body}")
    webhook, secret = door.webhooks.create("ada", "sales", "hmac", options=plan)
    url = f"https://calls.example/api/webhooks/{webhook.id}"

    answers = [
        door.post(webhook, sign(plan, secret, report(), url=url), report(), query=query).status
        for query in (b"", b"added=1")
    ]

    assert answers == [200, 401]


def test_a_captured_request_is_stored_once_and_dies_of_age(door, report, sign, hook):
    webhook, secret = hook
    captured = sign(HmacPlan(), secret, report())
    answers = []
    for wait_s in (0, 0, 100, 199, 2, 300):
        door.clock.pass_s(wait_s)
        answers.append(door.post(webhook, captured, report()).status)

    assert answers == [200, 200, 200, 200, 401, 401]
    assert door.outcomes() == [
        *("stored", "replayed", "replayed", "replayed", "stale_timestamp", "stale_timestamp")
    ]
    assert door.stored() == ["call-1"]


def test_a_captured_request_of_the_old_secret_is_known_after_a_rotation(door, report, sign, hook):
    webhook, secret = hook
    captured = sign(HmacPlan(), secret, report())
    door.post(webhook, captured, report())
    door.webhooks.rotate(webhook.id)

    door.post(webhook, captured, report())

    assert door.outcomes() == ["stored", "replayed"]


def test_one_of_two_signatures_alone_does_not_make_a_new_request(door, report, sign, hook):
    webhook, old = hook
    new = door.webhooks.rotate(webhook.id)
    both = [sign(HmacPlan(), secret, report()) for secret in (new, old)]
    together = {**both[0], "x-signature": " ".join(each["x-signature"] for each in both)}

    for headers in (together, *both):
        door.post(webhook, headers, report())

    assert door.outcomes() == ["stored", "replayed", "replayed"]


def test_a_request_without_a_signed_timestamp_is_known_for_a_day(door, report, sign):
    plan = PLANS["body only"]
    webhook, secret = door.webhooks.create("ada", "sales", "hmac", options=plan)
    captured = sign(plan, secret, report())
    for wait_s in (0, 23 * 3600, 2 * 3600):
        door.clock.pass_s(wait_s)
        door.post(webhook, captured, report())

    assert door.outcomes() == ["stored", "replayed", "stored"]


def test_a_report_that_could_not_be_stored_is_stored_when_it_comes_again(
    open_door, report, sign, full_stream
):
    door = open_door(stream=full_stream)
    webhook, secret = door.webhooks.create("ada", "sales", "hmac")
    headers = sign(HmacPlan(), secret, report())

    full = door.post(webhook, headers, report())
    full_stream.is_full = False
    again = [door.post(webhook, headers, report()).status for _ in range(2)]

    assert (full.status, again) == (503, [200, 200])
    assert door.outcomes() == ["stream_unavailable", "stored", "replayed"]


def test_what_was_refused_is_refused_again(door, sign, hook):
    webhook, secret = hook
    headers = sign(HmacPlan(), secret, b"{")

    answers = [door.post(webhook, headers, b"{") for _ in range(2)]

    assert [answer.code for answer in answers] == ["invalid_json"] * 2


def test_the_same_request_twice_at_once_is_stored_once_and_answered_when_it_is(
    door, report, sign, hook
):
    webhook, secret = hook
    headers = sign(HmacPlan(), secret, report())

    async def send_both():
        return await asyncio.gather(*[door.ask(webhook, headers, report()) for _ in range(5)])

    answers = asyncio.run(send_both())

    assert [answer.status for answer in answers] == [200] * 5
    assert sorted(door.outcomes()) == ["replayed"] * 4 + ["stored"]
    assert door.stored() == ["call-1"]


def test_ignored_messages_may_come_again(door, sign, hook):
    webhook, secret = hook
    body = b'{"message": {"type": "hang"}}'

    for _ in range(2):
        door.post(webhook, sign(HmacPlan(), secret, body), body)

    assert door.outcomes() == ["ignored", "ignored"]


def test_both_secrets_sign_while_they_are_rotated(door, report, sign, hook):
    webhook, old = hook
    new = door.webhooks.rotate(webhook.id, keep_old_for_s=60)
    during = [
        door.post(webhook, sign(HmacPlan(), secret, report(secret)), report(secret)).status
        for secret in (old, new)
    ]
    door.clock.pass_s(61)

    after = [
        door.post(webhook, sign(HmacPlan(), secret, report(), at=door.clock.now), report()).status
        for secret in (old, new)
    ]

    assert (during, after) == ([200, 200], [401, 200])


def test_a_lost_encryption_key_is_our_fault_and_not_the_senders(door, report, sign, hook):
    webhook, secret = hook
    other, other_secret = door.webhooks.create("ada", "sales")
    headers = sign(HmacPlan(), secret, report())
    vault = door.keys.vault
    answers = []
    for keys in (None, Vault([Fernet.generate_key().decode()]), vault):
        door.keys.vault = keys
        answers.append(door.post(webhook, headers, report()))
        assert door.post(other, {"X-Vapi-Secret": other_secret}, report()).status == 200

    assert [answer.status for answer in answers] == [503, 503, 200]
    assert answers[0].code == "secret_unreadable"
    assert int(answers[0].headers[b"retry-after"]) > 0


def test_a_request_without_a_signature_is_refused_even_when_keys_are_lost(door, report, hook):
    webhook, _ = hook
    door.keys.vault = None

    answer = door.post(webhook, {}, report())

    assert answer.status == 401


def test_a_secret_that_still_opens_counts_while_another_does_not(door, report, sign, hook):
    webhook, old = hook
    door.keys.vault = Vault([Fernet.generate_key().decode()])
    new = door.webhooks.rotate(webhook.id)

    answers = [
        door.post(webhook, sign(HmacPlan(), secret, report()), report()).status
        for secret in (new, old)
    ]

    assert answers == [200, 503]


def test_signatures_are_compared_in_constant_time_only(door, report, sign, hook, monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return True

    webhook, _ = hook
    door.webhooks.rotate(webhook.id)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    headers = {"x-signature": "one two", "x-timestamp": str(int(NOON.timestamp()))}

    answer = door.post(webhook, headers, report())

    assert answer.status == 200  # nothing but compare_digest decides
    assert [other for _, other in compared] == [b"one", b"two"] * 2


def test_the_secret_is_on_disk_only_encrypted(door, report, sign, hook, tmp_path):
    webhook, secret = hook
    door.post(webhook, sign(HmacPlan(), secret, report()), report())

    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert secret.encode() not in files
    assert secret not in repr(door.webhooks.get(webhook.id))


HEADER_NAMES = st.from_regex(r"X-[A-Za-z0-9-]{1,20}", fullmatch=True)
LITERALS = st.text(
    st.characters(codec="utf-8", exclude_characters="{}", exclude_categories=["Cs"]), max_size=5
)
FIELDS = ["{timestamp}", "{method}", "{url}", "{svix-id}"]


@st.composite
def hmac_plans(draw):
    names = draw(st.lists(HEADER_NAMES, min_size=3, max_size=3, unique_by=str.lower))
    parts = draw(st.permutations(["{body}", *draw(st.lists(st.sampled_from(FIELDS), max_size=4))]))
    payload = "".join(draw(LITERALS) + part for part in parts) + draw(LITERALS)
    try:
        return HmacPlan(
            algorithm=draw(st.sampled_from(["sha256", "sha512", "sha1"])),
            encoding=draw(st.sampled_from(["hex", "base64"])),
            prefix=draw(st.sampled_from(["", "sha256=", "v1,", "="])),
            signature_header=names[0],
            timestamp_header=names[1],
            include_timestamp="{timestamp}" in payload or draw(st.booleans()),
            payload_format=payload,
            message_id_header=names[2] if "{svix-id}" in payload else None,
            secret_is_base64=draw(st.booleans()),
        )
    except SettingsError:  # a header name that says something else
        assume(False)


def prove(plan, key, headers, body):
    """What the check makes of a request of these headers; a server has them in lower case."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"headers": raw, "method": "POST", "path": "/api/webhooks/w", "query_string": b""}
    check = SignedCheck(plan, [key], public_url="https://calls.example")
    return check.begin(dict(raw), scope, NOON).prove(body)


def test_any_plan_verifies_what_it_signs_and_nothing_else(sign):
    secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQh"
    url = "https://calls.example/api/webhooks/w"

    @given(hmac_plans(), st.binary(min_size=1, max_size=60), st.data())
    def check(plan, body, data):
        key = b"secret secret secret!" if plan.secret_is_base64 else secret.encode()
        headers = sign(plan, secret, body, url=url)
        at = data.draw(st.integers(0, len(body) - 1))
        other_byte = body[at] ^ data.draw(st.integers(1, 255))
        changed = body[:at] + bytes([other_byte]) + body[at + 1 :]
        signature = headers[plan.signature_header]
        where = data.draw(st.integers(0, len(signature) - 1))
        character = data.draw(st.sampled_from("0aAzZ+/=,~").filter(lambda c: c != signature[where]))
        forged = signature[:where] + character + signature[where + 1 :]

        assert prove(plan, key, headers, body)
        with pytest.raises(Unproven):
            prove(plan, key, headers, changed)
        with pytest.raises(Unproven):
            prove(plan, key, {**headers, plan.signature_header: forged}, body)
        if plan.signs_timestamp:
            moved = {**headers, plan.timestamp_header: str(int(NOON.timestamp()) + 1)}
            with pytest.raises(Unproven):
                prove(plan, key, moved, body)
        if plan.message_id_header is not None:
            with pytest.raises(Unproven):
                prove(plan, key, {**headers, plan.message_id_header: "msg_2"}, body)
        with pytest.raises(Unproven):
            prove(plan, key + b"x", headers, body)

    check()


def test_standard_webhooks_own_example_verifies():
    # Source: standardwebhooks.com's reference test vector (id, time, payload and secret).
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    check = SignedCheck(STANDARD_WEBHOOKS, [base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")])
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"headers": raw, "method": "POST", "path": "/", "query_string": b""}
    claim = check.begin(dict(raw), scope, datetime.fromtimestamp(1614265330, UTC))

    assert claim.prove(b'{"test": 2432232314}')
