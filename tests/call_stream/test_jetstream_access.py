"""Who is let in, and that no secret is shown to anybody else."""

import base64
import binascii
import hashlib
import json
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from call_stream.jetstream_credentials import load_credentials
from call_stream.stream import EntryKind, StreamError, StreamUnavailable, open_reader, open_writer

PASSWORD = 'authorization { user: ada, password: "hunter2@/" }'
TOKEN = 'authorization { token: "hunter2" }'


@pytest.mark.parametrize(
    ("settings", "secret"),
    [(PASSWORD, "ada:hunter2%40%2F"), (TOKEN, "hunter2")],
    ids=["password", "token"],
)
def test_the_right_secret_lets_in(nats_own, stream_at, settings, secret):
    stream = stream_at(nats_own(settings=settings).url("CALLS", secret=secret))

    stream.open()
    stream.append(b"x")

    assert stream.read() == [b"x"]


@pytest.mark.parametrize(
    "secret", ["", "ada:hunter3", "hunter3"], ids=["none", "password", "token"]
)
def test_a_wrong_secret_is_told_at_once_and_never_shown(nats_own, stream_at, secret, caplog):
    url = nats_own(settings=PASSWORD).url("CALLS", secret=secret)

    with pytest.raises(StreamUnavailable, match="refuses the credentials") as caught:
        open_writer(url)
    with pytest.raises(StreamUnavailable, match="refuses the credentials") as read:
        list(stream_at(url).reader().read())

    assert "hunter" not in f"{caught.value!r} {read.value!r} {caplog.text}"


def test_a_user_that_may_not_use_jetstream_is_refused_entries(nats_own, stream_at):
    user = 'authorization { users: [{user: u, password: p, permissions: {publish: "x.>"}}] }'
    url = nats_own(settings=user).url("CALLS", secret="u:p")

    writer = stream_at(url).open(patience_s=0.5)

    with pytest.raises(StreamUnavailable):
        writer.append(EntryKind.CALL, b"x")


def _with_crc(raw):
    crc = binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(raw + crc).decode().rstrip("=")


@dataclass
class Key:
    """An nkey: operator, account or user. github.com/nats-io/nkeys says how they are written."""

    prefix: int
    private: Ed25519PrivateKey

    @property
    def public(self):
        raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _with_crc(bytes([self.prefix]) + raw)

    @property
    def seed(self):
        first = (18 << 3) | (self.prefix >> 5)
        second = (self.prefix & 31) << 3
        return _with_crc(bytes([first, second]) + self.private.private_bytes_raw())

    def sign_jwt(self, subject, claims):
        body = {"iss": self.public, "sub": subject, "iat": 1, "name": "ours", "nats": claims}
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode()
        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
            for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
        ]
        signed = b".".join(parts)
        signature = base64.urlsafe_b64encode(self.private.sign(signed)).rstrip(b"=")
        return b".".join([signed, signature]).decode()


def make_key(prefix):
    return Key(prefix, Ed25519PrivateKey.generate())


@pytest.fixture
def signed(tmp_path):
    """Settings of a server that trusts an operator, and the credentials file of its user."""
    operator, account, system, user = (make_key(prefix) for prefix in (14 << 3, 0, 0, 20 << 3))
    limits = dict.fromkeys(["subs", "data", "payload", "imports", "exports", "conn", "leaf"], -1)
    stores = dict.fromkeys(["mem_storage", "disk_storage", "streams", "consumer"], -1)
    account_jwt = operator.sign_jwt(
        account.public,
        {"limits": {**limits, **stores, "wildcards": True}, "type": "account", "version": 2},
    )
    system_jwt = operator.sign_jwt(
        system.public, {"limits": {**limits, "wildcards": True}, "type": "account", "version": 2}
    )
    operator_jwt = operator.sign_jwt(operator.public, {"type": "operator", "version": 2})
    user_jwt = account.sign_jwt(
        user.public, {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
    )
    path = tmp_path / "user.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    settings = (
        f"operator: {operator_jwt}\nresolver: MEMORY\nsystem_account: {system.public}\n"
        f"resolver_preload: {{ {account.public}: {account_jwt}, {system.public}: {system_jwt} }}"
    )
    return settings, path


def test_a_credentials_file_lets_in(nats_own, stream_at, signed):
    settings, path = signed
    stream = stream_at(nats_own(settings=settings).url("CALLS", credentials=path))

    stream.open()
    stream.append(b"x")

    assert stream.read() == [b"x"]


def test_a_credentials_file_that_is_not_whole_is_refused_without_its_seed(signed, tmp_path):
    _, path = signed
    text = path.read_text()
    seed = text.split("SEED-----\n")[1].split("\n")[0]
    swapped = seed[:-1] + ("A" if seed[-1] != "A" else "B")
    broken = tmp_path / "broken.creds"
    said = []

    for content in ("", "x" * 9, text.replace(seed, ""), text.replace(seed, swapped)):
        broken.write_text(content)
        with pytest.raises(StreamError, match=r"broken\.creds") as caught:
            load_credentials(broken)
        said.append(str(caught.value))
    with pytest.raises(StreamError, match="cannot be read"):
        load_credentials(tmp_path / "missing.creds")

    assert not any(seed[4:20] in each for each in said)
    assert seed not in repr(load_credentials(path))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, and a server's certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    for command in (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key"
        " -out ca.pem -days 2 -subj /CN=ours",
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout s.key -out s.csr"
        " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1",
        "x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out s.pem -days 2"
        " -copy_extensions copy",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


def tls_settings(folder, more=""):
    return f'tls {{ cert_file: "{folder}/s.pem", key_file: "{folder}/s.key"\n{more} }}'


def test_calls_travel_over_tls(nats_own, stream_at, certificates):
    server = nats_own(settings=tls_settings(certificates) + "\n" + PASSWORD)
    stream = stream_at(
        server.url(
            "CALLS", secret="ada:hunter2%40%2F", scheme="tls", tls_ca=certificates / "ca.pem"
        )
    )

    stream.open()
    stream.append(b"x")

    assert stream.read() == [b"x"]


def test_a_client_certificate_is_shown_where_it_is_asked_for(nats_own, stream_at, certificates):
    asks = f'ca_file: "{certificates}/ca.pem", verify: true'
    server = nats_own(settings=tls_settings(certificates, asks))
    own = {"tls_cert": certificates / "s.pem", "tls_key": certificates / "s.key"}
    stream = stream_at(server.url("CALLS", scheme="tls", tls_ca=certificates / "ca.pem", **own))
    without = server.url("CALLS", scheme="tls", tls_ca=certificates / "ca.pem")

    stream.open()
    stream.append(b"x")

    assert stream.read() == [b"x"]
    with pytest.raises(StreamUnavailable):
        stream_at(without).reader(patience_s=0.5).end()


def test_a_certificate_nobody_vouches_for_is_refused(nats_own, stream_at, certificates):
    server = nats_own(settings=tls_settings(certificates))

    reader = stream_at(server.url("CALLS", scheme="tls")).reader(patience_s=2)

    with pytest.raises(StreamUnavailable, match="TLS failed"):
        reader.end()


def test_a_tls_file_that_cannot_be_used_is_told(certificates):
    reader = open_reader(f"tls://127.0.0.1:1/CALLS?tls_ca={certificates}/missing.pem")

    with pytest.raises(StreamError, match="TLS file"):
        reader.end()


def test_no_secret_is_sent_to_a_server_that_does_not_ask_for_tls(stream_at):
    said = []
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def pretend():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(2)
                peer.sendall(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1000}\r\n')
                try:
                    said.append(peer.recv(4096))
                except OSError:
                    said.append(b"")

    threading.Thread(target=pretend, daemon=True).start()
    stream = stream_at(f"tls://ada:hunter2@127.0.0.1:{port}/CALLS")
    reader = stream.reader(patience_s=0.5)

    with pytest.raises(StreamUnavailable, match="does not ask for TLS"):
        reader.end()
    reader.close()
    listener.close()

    time.sleep(0.1)
    assert said
    assert b"hunter2" not in b"".join(said)
