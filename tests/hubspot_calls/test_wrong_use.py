"""What goes wrong at a keyboard: one line each, that says what, which, and what to do."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HubSpotCalls = Callable[..., Any]

WRONG_USE = {
    "histroy": "Did you mean 'history'? See `hubspot-calls --help`",
    "retyr --all": "Did you mean 'retry'?",
    "webhook list": "Did you mean 'webhooks'?",
    "webhooks lst": "Did you mean 'list'? See `hubspot-calls webhooks --help`",
    "keys creat": "Did you mean 'create'?",
    "connections lits": "Did you mean 'list'?",
    "--verison": "Did you mean '--version'?",
    "frobnicate": "No such command 'frobnicate'; see `hubspot-calls --help`",
    "history --stat error": "Did you mean '--status'?",
    "history extra": "unexpected extra argument (extra)",
    "history --status eror": "did you mean error?",
    "history --status lost": "known are success, error, skipped",
    "history --reason contact_notfound": "did you mean contact_not_found?",
    "history --reason xyz": "known are created, updated",
    "history --since yesturday": "'yesturday' is no time; write 12h, 7d, today",
    "history --since 2026-13-01": "'2026-13-01' is no time",
    "history --since 2026-11-31": "'2026-11-31' is no time",
    "history --since 99999999d": "'99999999d' is no time",
    "history --until tomorow": "'tomorow' is no time",
    "history --since 2026-11-22 --until 2026-11-01": "--since is not before --until",
    "history --limit 0": "0 is not in the range",
    "history --limit ten": "'ten' is no whole number",
    "history --number=": "it is empty; leave the option out",
    "history --query=": "it is empty",
    "history --call-id=": "it is empty",
    "history --follow --json": "--follow and --json exclude each other",
    "retry --number=": "it is empty; leave the option out",
    "retry --call-id=": "it is empty",
    "retry --status success": "known are error, skipped",
    "retry --reason created": "there is no 'created'",
    "retry --all --reason rejected": "--all takes no filter but --user and --workspace",
    "retry --dry-run --wait": "--dry-run and --wait exclude each other",
    "retry --wait 0": "0 is not in the range",
    "retry --wait soon": "'soon' is no whole number",
    "retry --since now --until yesterday": "--since is not before --until",
    "keys create --user=": "1 to 200 printable characters",
    "keys revoke": "Missing argument 'KEY_ID'",
    "webhooks create --auth hmacc": "did you mean hmac?",
    "webhooks create --auth bearer --prefix x": "--auth bearer does not take --prefix",
    "webhooks create --auth header": "--auth header needs --header NAME",
    "webhooks change some-id": "nothing to change",
    "webhooks raw": "give --call-id or --request-id",
    "connections add": "Missing option '--service-key-stdin'",
    "completion powershell": "known are bash, zsh, fish",
    "completion bsh": "did you mean bash?",
    "serve --port 99999": "99999 is not in the range",
    "doctor --ofline": "Did you mean '--offline'?",
    "demo --calls 0": "0 is not in the range",
    "simulator --contacts nowhere.json": "'nowhere.json' does not exist",
}
FAILED = {
    "keys revoke nobodys": "There is no access key nobodys; `hubspot-calls keys list` shows them",
    "webhooks rotate nobodys": "There is no webhook nobodys",
    "webhooks disable nobodys": "There is no webhook nobodys",
    "connections remove --workspace nobodys": "see hubspot-calls connections list",
    "connections add --service-key-stdin": "stdin holds no service key",
    "history --call-id nobodys-call": "`hubspot-calls history` shows the ids",
}


@pytest.mark.parametrize(("words", "said"), WRONG_USE.items(), ids=WRONG_USE)
def test_wrong_use_is_one_line_that_says_what_is_right(
    words: str, said: str, hubspot_calls: HubSpotCalls, data_dir: Path
) -> None:
    ended = hubspot_calls(*words.split())

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.startswith("hubspot-calls: ")
    assert ended.err.count("\n") == 1
    assert not data_dir.exists()


@pytest.mark.parametrize(("words", "said"), FAILED.items(), ids=FAILED)
def test_what_is_not_there_is_named_with_the_way_to_find_it(
    words: str, said: str, hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())

    ended = hubspot_calls(*words.split())

    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL must begin with sqlite:/// or postgresql://"),
        ({"DATABASE_URL": "mysql://cara:canary@db/x"}, "must begin with sqlite:///"),
        ({"DATABASE_URL": "postgresql://cara:canary@127.0.0.1:no/x"}, "cannot be read"),
        ({"DATABASE_URL": "postgresql://cara:canary@127.0.0.1:9/x"}, "PostgreSQL"),
        ({"SYNC_LOG": "{tmp}"}, "cannot be used"),
        ({"ENCRYPTION_KEYS": "canary"}, "is no comma list of keys"),
        ({"LOG_LEVL": "debug"}, "did you mean HUBSPOT_CALLS_LOG_LEVEL?"),
        ({"PUBLIC_URL": "nowhere"}, "must be an address such as https://example.com"),
        ({"STREAM_URL": "redis://x"}, "must begin with file: or nats://"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_a_setting_that_cannot_be_is_named_without_its_value(
    variables: dict[str, str],
    said: str,
    hubspot_calls: HubSpotCalls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"HUBSPOT_CALLS_{name}", value.format(tmp=tmp_path))

    ended = hubspot_calls("history", "--json")

    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert "canary" not in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"HUBSPOT_CALLS_DATA_DIR\n", "line 1 gives HUBSPOT_CALLS_DATA_DIR no value"),
        (b"HUBSPOT_CALS_DATA_DIR=x\n", "did you mean HUBSPOT_CALLS_DATA_DIR?"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
    ids=["no value", "typo", "no text"],
)
def test_a_faulty_env_file_is_named_with_its_line(
    content: bytes, said: str, hubspot_calls: HubSpotCalls, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(content)

    ended = hubspot_calls("keys", "list")

    assert ended.code == 1
    assert f"{tmp_path}/.env" in ended.err
    assert said in ended.err


def test_an_unset_variable_does_not_retry_every_call(hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("retry", "--yes", "--number", "")

    assert ended.code == 2


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.25, 0.5])
def test_ctrl_c_at_any_moment_ends_without_a_traceback(
    start: Callable[..., subprocess.Popen[str]], after_s: float
) -> None:
    process = start("history", "--follow", PYTHONUNBUFFERED="1")
    wait_until_it_is_ours(process)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)

    out, said = process.communicate(timeout=30)

    assert "Traceback" not in said
    assert process.returncode in (0, 130, -signal.SIGINT), said
    assert out == ""


@pytest.mark.parametrize(("pressed", "code"), [(True, 130), (False, 1)])
def test_whatever_a_library_makes_of_ctrl_c_ends_quietly(
    pressed: bool, code: int, tmp_path: Path
) -> None:
    program = f"""
import os, signal
from hubspot_calls import cli

def work(**options):
    try:
        if {pressed}:
            os.kill(os.getpid(), signal.SIGINT)
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise RuntimeError("something of its own") from None

cli.cli.main = work
cli.main()
"""

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )

    assert ended.returncode == code
    assert ("Traceback" in ended.stderr) is not pressed


def wait_until_it_is_ours(process: subprocess.Popen[str]) -> None:
    """Waits until the interpreter has begun with the command: before, it is not ours to catch."""
    maps = Path(f"/proc/{process.pid}/maps")
    for _ in range(2000):
        if "_signal" in maps.read_text() or "_struct" in maps.read_text():
            return
        time.sleep(0.005)
