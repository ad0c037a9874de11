"""Tokens of an embedding product: what they open, and everything they must not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import threading
import time
import warnings
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from receiver.answers import Refusal
from receiver.jwks import JwksKeys
from receiver.jwt_access import JwtAccess, SharedSecret, TokenRules

SECRET = "canary-shared-secret-of-32-bytes-or-more"
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def claims(**changes):
    said = {"sub": "ada", "workspace_id": "sales", "exp": int(time.time()) + 300, **changes}
    return {name: value for name, value in said.items() if value is not None}


def ask(front, token):
    client = front.browser().client
    return client.get("/api/session", headers={"Authorization": f"Bearer {token}"})


def jwk(key, kid, **changes):
    algorithm = {
        rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm,
    }
    public = key.public_key()
    written = next(a for kind, a in algorithm.items() if isinstance(public, kind)).to_jwk(public)
    return {**json.loads(written), "kid": kid, **changes}


class KeyServer:
    """Serves one JWK set, and counts who asks."""

    def __init__(self, *keys):
        self.body = json.dumps({"keys": keys}).encode()
        self.status, self.headers, self.asked = 200, {}, 0
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,)).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"

    def serve(self, *keys):
        self.body = json.dumps({"keys": keys}).encode()


@pytest.fixture
def a_key_server():
    servers = []

    def build(*keys):
        servers.append(KeyServer(*keys))
        return servers[-1]

    yield build
    for one in servers:
        one.server.shutdown()
        one.server.server_close()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def by_secret(a_front):
    rules = TokenRules(issuer="https://product.example", audience="calls")
    return a_front(tokens=JwtAccess(SharedSecret(SECRET), rules))


def signed(key=SECRET, algorithm="HS256", headers=None, **changes):
    said = claims(**{"iss": "https://product.example", "aud": "calls", **changes})
    return jwt.encode(said, key, algorithm=algorithm, headers=headers)


def test_a_token_opens_the_workspace_it_names(by_secret):
    body = ask(by_secret, signed()).json()

    assert (body["userId"], body["workspaceId"], body["signedInBy"]) == ("ada", "sales", "token")


def test_access_keys_go_on_working_beside_tokens(by_secret):
    workspace = by_secret.a_workspace()

    body = ask(by_secret, by_secret.a_key(workspace)).json()

    assert body["workspaceId"] == workspace.workspace_id


@pytest.mark.parametrize(
    ("length", "algorithms"),
    [(32, {"HS256"}), (48, {"HS256", "HS384"}), (64, {"HS256", "HS384", "HS512"})],
)
def test_a_shared_secret_signs_only_in_ways_it_is_long_enough_for(length, algorithms):
    secret = "s" * length
    access = JwtAccess(SharedSecret(secret), TokenRules())
    opened = set()

    for algorithm in ("HS256", "HS384", "HS512"):
        with suppress(Refusal), warnings.catch_warnings(action="ignore"):
            asyncio.run(access.workspace_of_token(jwt.encode(claims(), secret, algorithm)))
            opened.add(algorithm)

    assert opened == algorithms


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": int(time.time()) - 60}, "token_expired"),
        ({"exp": None}, "token_claim"),
        ({"exp": "soon"}, "token_malformed"),
        ({"exp": 1e400}, "token_malformed"),
        ({"nbf": int(time.time()) + 600}, "token_not_yet_valid"),
        ({"iat": int(time.time()) + 600}, "token_not_yet_valid"),
        ({"iss": "https://evil.example"}, "token_wrong_issuer"),
        ({"iss": None}, "token_wrong_issuer"),
        ({"aud": "another"}, "token_wrong_audience"),
        ({"aud": None}, "token_wrong_audience"),
        ({"aud": ["another", "third"]}, "token_wrong_audience"),
        ({"sub": None}, "token_claim"),
        ({"sub": ""}, "token_claim"),
        ({"sub": "a" * 201}, "token_claim"),
        ({"sub": ":settings:"}, "token_claim"),
        ({"sub": "ada\n"}, "token_claim"),
        ({"workspace_id": None}, "token_claim"),
        ({"workspace_id": ["sales"]}, "token_claim"),
        ({"workspace_id": True}, "token_claim"),
        ({"workspace_id": {"$ne": ""}}, "token_claim"),
    ],
    ids=lambda value: re.sub(r"\d{10,}", "a moment", repr(value)),
)
def test_a_token_that_does_not_say_what_it_must_opens_nothing(by_secret, changes, code):
    answer = ask(by_secret, signed(**changes))

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_clocks_may_differ_by_half_a_minute(by_secret):
    late = ask(by_secret, signed(exp=int(time.time()) - 10))
    early = ask(by_secret, signed(nbf=int(time.time()) + 10))

    assert (late.status_code, early.status_code) == (200, 200)


def test_a_workspace_may_be_a_number(by_secret):
    assert ask(by_secret, signed(workspace_id=42)).json()["workspaceId"] == "42"


def unsigned(header, said):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(said)}."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS1", None, 7])
def test_a_token_that_nobody_signed_opens_nothing(by_secret, algorithm):
    said = claims(iss="https://product.example", aud="calls")

    answer = ask(by_secret, unsigned({"typ": "JWT", "alg": algorithm}, said))

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "token",
    [
        "a", "a.b", "a.b.c", "a.b.c.d", "..", "." * 2000, "é.é.é", "eyJhbGciOiJIUzI1NiJ9..",
        "x" * 9000, "null.null.null",
    ],
    ids=lambda token: token[:12],
)  # fmt: skip
def test_what_is_no_token_is_answered_in_good_order(by_secret, token):
    answer = by_secret.browser().client.get(
        "/api/session", headers={"Authorization": f"Bearer {token}".encode()}
    )

    assert answer.status_code == 401


def test_each_character_of_the_signature_counts(by_secret):
    token = signed()
    head, _, signature = token.rpartition(".")

    answers = [
        ask(by_secret, f"{head}.{signature[:n]}{'A' if signature[n] != 'A' else 'B'}")
        for n in range(0, len(signature), 6)
    ]

    assert {answer.status_code for answer in answers} == {401}


def test_a_token_of_another_secret_opens_nothing(by_secret):
    answer = ask(by_secret, signed(key="another-secret-that-is-32-bytes-long"))

    assert answer.json()["code"] == "token_signature"


def test_a_token_with_demands_we_do_not_know_opens_nothing(by_secret):
    answer = ask(by_secret, signed(headers={"crit": ["exp2"], "exp2": 1}))

    assert answer.status_code == 401


def test_without_an_audience_of_ours_a_token_for_somebody_else_opens_nothing():
    access = JwtAccess(SharedSecret(SECRET), TokenRules())

    with pytest.raises(Refusal) as raised:
        asyncio.run(access.workspace_of_token(jwt.encode(claims(aud="other"), SECRET)))

    assert raised.value.code == "token_wrong_audience"


def test_claims_may_have_names_of_the_products_own(a_front):
    rules = TokenRules(user_claim="https://product.example/uid", workspace_claim="org")
    front = a_front(tokens=JwtAccess(SharedSecret(SECRET), rules))
    token = jwt.encode(claims(**{"https://product.example/uid": "bob", "org": "support"}), SECRET)

    body = ask(front, token).json()

    assert (body["userId"], body["workspaceId"]) == ("bob", "support")


def test_a_token_of_one_workspace_sees_nothing_of_another(by_secret):
    mine, other = by_secret.a_workspace(), by_secret.a_workspace()
    by_secret.connections.add_service_key(other.user_id, other.workspace_id, "key")
    client = by_secret.browser().client

    def status(workspace):
        token = signed(sub=workspace.user_id, workspace_id=workspace.workspace_id)
        headers = {"Authorization": f"Bearer {token}"}
        return client.get("/api/hubspot/status", headers=headers).json()["connected"]

    assert (status(mine), status(other)) == (False, True)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA_KEY, "RS256"), (RSA_KEY, "RS512"), (RSA_KEY, "PS256"), (EC_KEY, "ES256"),
        (ED_KEY, "EdDSA"),
    ],
    ids=["RS256", "RS512", "PS256", "ES256", "EdDSA"],
)  # fmt: skip
def test_keys_come_from_an_address(a_front, a_key_server, key, algorithm):
    server = a_key_server(jwk(RSA_KEY, "r"), jwk(EC_KEY, "e"), jwk(ED_KEY, "d"))
    front = a_front(tokens=JwtAccess(JwksKeys(server.url), TokenRules()))
    kid = {"R": "r", "P": "r", "E": "e"}[algorithm[0]] if algorithm != "EdDSA" else "d"

    for _ in range(3):
        token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})
        assert ask(front, token).json()["userId"] == "ada"

    assert server.asked == 1


def test_a_public_key_is_never_taken_for_a_shared_secret(a_front, a_key_server):
    public = RSA_KEY.public_key()
    server = a_key_server(jwk(RSA_KEY, "r"))
    front = a_front(tokens=JwtAccess(JwksKeys(server.url), TokenRules()))
    secrets = [
        public.public_bytes(encoding, form)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
        for form in (
            serialization.PublicFormat.PKCS1,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    ]

    for secret in [*secrets, json.dumps(jwk(RSA_KEY, "r")).encode()]:
        unsigned_part = unsigned({"alg": "HS256", "kid": "r"}, claims())[:-1]
        mac = hmac.new(secret, unsigned_part.encode(), hashlib.sha256).digest()
        token = f"{unsigned_part}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert ask(front, token).json()["code"] == "token_wrong_algorithm"


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "kid": "r"},
        {**jwk(RSA_KEY, "r"), "use": "enc"},
        {**jwk(RSA_KEY, "r"), "alg": "HS256"},
        {**jwk(RSA_KEY, "r"), "alg": "none"},
        {"kty": "RSA", "kid": "r"},
        {"kty": "RSA", "n": "!!", "e": "AQAB", "kid": "r"},
        {"kid": "r"},
        "r",
    ],
    ids=["secret", "enc", "HS256", "none", "no numbers", "odd", "no kind", "text"],
)  # fmt: skip
def test_a_set_without_public_keys_for_signatures_opens_nothing(a_front, a_key_server, key):
    server = a_key_server(key)
    front = a_front(tokens=JwtAccess(JwksKeys(server.url), TokenRules()))
    token = jwt.encode(claims(), SECRET, headers={"kid": "r"})

    answer = ask(front, token)

    assert (answer.status_code, answer.json()["code"]) == (503, "token_keys_unavailable")


def test_the_algorithm_a_key_names_is_the_only_one(a_front, a_key_server):
    server = a_key_server(jwk(RSA_KEY, "r", alg="RS256"))
    front = a_front(tokens=JwtAccess(JwksKeys(server.url), TokenRules()))

    right, other = (
        ask(front, jwt.encode(claims(), RSA_KEY, algorithm=one, headers={"kid": "r"}))
        for one in ("RS256", "PS256")
    )

    assert right.status_code == 200
    assert other.json()["code"] == "token_wrong_algorithm"


def test_a_key_in_the_token_itself_is_not_looked_at(a_front, a_key_server):
    server = a_key_server(jwk(RSA_KEY, "r"))
    front = a_front(tokens=JwtAccess(JwksKeys(server.url), TokenRules()))
    evil = a_key_server(jwk(OTHER_RSA_KEY, "r"))
    headers = {"kid": "r", "jwk": jwk(OTHER_RSA_KEY, "r"), "jku": evil.url, "x5u": evil.url}

    answer = ask(front, jwt.encode(claims(), OTHER_RSA_KEY, algorithm="RS256", headers=headers))

    assert answer.json()["code"] == "token_signature"
    assert evil.asked == 0


def test_a_new_key_is_asked_for_once_and_strangers_cannot_make_us_ask(a_front, a_key_server):
    clock = Clock()
    server = a_key_server(jwk(RSA_KEY, "old"))
    front = a_front(tokens=JwtAccess(JwksKeys(server.url, clock=clock), TokenRules()))

    def with_key(kid, key=RSA_KEY):
        return ask(front, jwt.encode(claims(), key, algorithm="RS256", headers={"kid": kid}))

    assert with_key("old").status_code == 200
    server.serve(jwk(RSA_KEY, "old"), jwk(OTHER_RSA_KEY, "new"))
    too_soon = [with_key(f"guess-{n}").json()["code"] for n in range(20)]
    assert (set(too_soon), server.asked) == ({"token_key_unknown"}, 1)

    clock.now += 31

    assert with_key("new", OTHER_RSA_KEY).status_code == 200
    assert server.asked == 2


def test_kept_keys_work_while_their_address_does_not_answer(a_front, a_key_server):
    clock = Clock()
    server = a_key_server(jwk(RSA_KEY, "r"))
    front = a_front(tokens=JwtAccess(JwksKeys(server.url, clock=clock), TokenRules()))
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "r"})
    assert ask(front, token).status_code == 200

    server.status = 500
    clock.now += 2 * 3600

    assert ask(front, token).status_code == 200
    assert server.asked == 2


def test_a_key_that_is_gone_opens_nothing_an_hour_later(a_front, a_key_server):
    clock = Clock()
    server = a_key_server(jwk(RSA_KEY, "r"))
    front = a_front(tokens=JwtAccess(JwksKeys(server.url, clock=clock), TokenRules()))
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "r"})
    ask(front, token)
    server.serve(jwk(OTHER_RSA_KEY, "s"))

    clock.now += 3601

    assert ask(front, token).json()["code"] == "token_key_unknown"


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (500, {}, b"{}"), (200, {}, b"<html>"), (200, {}, b"[]"), (200, {}, b'{"keys": 7}'),
        (302, {"Location": "http://127.0.0.1:9/"}, b""), (200, {}, b" " * 300_000),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"), (200, {}, b"[" * 100_000),
    ],
    ids=["500", "html", "list", "number", "redirect", "huge", "packed", "deep"],
)  # fmt: skip
def test_an_address_that_answers_nonsense_opens_nothing(
    a_front, a_key_server, status, headers, body
):
    server = a_key_server()
    server.status, server.headers, server.body = status, headers, body
    front = a_front(tokens=JwtAccess(JwksKeys(server.url), TokenRules()))
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "r"})

    answers = [ask(front, token) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["retry-after"] == "30"
    assert server.asked == 1


def test_neither_token_nor_secret_is_in_an_answer_or_a_log(by_secret, caplog):
    caplog.set_level(0)
    token = signed(sub="canary-user", workspace_id=None)

    answer = ask(by_secret, token)

    said = answer.text + "\n".join(record.getMessage() for record in caplog.records)
    assert SECRET not in said
    assert token.rpartition(".")[2] not in said
    assert "canary-user" not in said
