"""The demo: the whole line with real processes, and its check of every sample."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubspot_calls.demo.check import Seen, find_differences, find_strays
from hubspot_calls.demo.folder import MARKER, NotOurFolder, fresh_folder
from hubspot_calls.demo.samples import Expected, Report, generate_reports, load_samples

Start = Callable[..., subprocess.Popen[str]]

CALL = "call-1"


def a_report(
    status: str = "success", reason: str = "created", contact: str | None = "a@b.c"
) -> Report:
    return Report("01.json", 1, CALL, b"", Expected(status, reason, contact))


def seen(**changes: Any) -> Seen:
    row = {
        "call_id": CALL,
        "status": "success",
        "reason": "created",
        "contact_id": "7",
        "error_message": None,
    } | changes
    return Seen(outcomes={CALL: row}, emails={"7": "a@b.c", "8": "d@e.f"}, notes={CALL: ["7"]})


def test_a_call_as_it_must_be_has_no_difference() -> None:
    assert find_differences([a_report()], seen()) == []


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        (replace(seen(), outcomes={}), "has no outcome"),
        (
            seen(status="error", reason="rejected", error_message="Why."),
            "is error rejected (Why.), must be success created",
        ),
        (seen(contact_id="8"), "went to contact d@e.f, must go to a@b.c"),
        (replace(seen(), notes={}), "has 0 notes in the portal, must have 1"),
        (replace(seen(), notes={CALL: ["7", "7"]}), "has 2 notes in the portal, must have 1"),
        (replace(seen(), notes={CALL: ["8"]}), "has its note on d@e.f, must have it on a@b.c"),
    ],
    ids=["none", "other outcome", "other contact", "no note", "two notes", "note elsewhere"],
)
def test_each_way_of_being_wrong_is_named(shown: Seen, fault: str) -> None:
    assert find_differences([a_report()], shown) == [f"01.json: {fault}"]


def test_a_skipped_call_must_have_no_note() -> None:
    shown = replace(
        seen(status="skipped", reason="no_phone_number", contact_id=None), notes={CALL: ["7"]}
    )

    found = find_differences([a_report("skipped", "no_phone_number", None)], shown)

    assert found == ["01.json: has 1 notes in the portal, must have 0"]


def test_a_call_that_nobody_posted_is_a_stray() -> None:
    assert find_strays([], seen()) == ["call call-1 has an outcome or a note and was never posted"]


def test_generated_calls_have_ids_of_their_own_and_an_expected_contact() -> None:
    samples = load_samples()

    made = list(generate_reports(samples, 40))

    assert len({report.call_id for report in made}) == 40
    for report in made:
        assert json.loads(report.body)["message"]["call"]["id"] == report.call_id
        assert report.expected is not None
        assert report.expected.contact is not None


def test_a_folder_of_an_earlier_demo_is_made_anew(tmp_path: Path) -> None:
    with fresh_folder(tmp_path / "demo") as folder:
        (folder / "stream").mkdir()
        (folder / "stream" / "old").write_text("x")

    with fresh_folder(tmp_path / "demo") as folder:
        assert [path.name for path in folder.iterdir()] == [MARKER]


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("x")

    with pytest.raises(NotOurFolder, match="holds files that no demo made"), fresh_folder(tmp_path):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "demo").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(NotOurFolder), fresh_folder(tmp_path / "demo"):
        pass

    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        fresh_folder(tmp_path / "demo"),
        pytest.raises(NotOurFolder, match="another demo runs"),
        fresh_folder(tmp_path / "demo"),
    ):
        pass


def test_the_demo_ends_with_every_call_as_it_must_be(
    start: Start, tmp_path: Path, environment: dict[str, str]
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("HUBSPOT_CALLS_LOG_LEVEL=loud\nHUBSPOT_SERVICE_KEY=pat-stray\n")

    process = start("demo", "--once", "--calls", "25", HUBSPOT_SERVICE_KEY="pat-stray")
    out, err = process.communicate(timeout=55)

    assert process.returncode == 0, err
    assert "Every call has the outcome it must have." in err
    rows = [line.split() for line in out.splitlines() if line]
    assert rows[0] == ["call", "number", "contact", "note", "recording", "status", "reason"]
    assert len(rows) == 1 + 25
    folder = tmp_path / "hubspot-calls-demo"
    assert "Call ID:" in (folder / "notes.html").read_text()
    for path in folder.rglob("*"):
        assert not path.is_file() or b"pat-na1-" not in path.read_bytes()
    env_file.unlink()
    run_printed_lines(err, tmp_path, environment)


@pytest.mark.long
def test_the_demo_stays_up_and_syncs_a_pasted_call(start: Start) -> None:
    process = start("demo")
    # A stand-in prints what curl would be given; not every machine has curl.
    stand_in = "curl() { printf '%s\\0' \"$@\"; }; "
    line = line_with(process, r"^curl ")
    given = subprocess.run(
        ["bash", "-c", stand_in + line], check=True, capture_output=True, text=True
    ).stdout.split("\0")
    headers = dict(given[i + 1].split(": ", 1) for i, word in enumerate(given) if word == "-H")
    answer = httpx.post(given[1], content=given[given.index("-d") + 1], headers=headers)

    outcome = line_with(process, r"^own-\d+ ")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert (answer.status_code, answer.json()) == (200, {})
    assert "success created, note" in outcome
    assert process.returncode == 0


def test_a_demo_ended_halfway_leaves_no_process(start: Start) -> None:
    process = start("demo", "--once")
    simulator = re.search(r"http://[0-9.:]+", line_with(process, "HubSpot simulator"))
    assert simulator is not None

    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)

    give_up_at = time.monotonic() + 20
    while _answers(simulator[0]):
        assert time.monotonic() < give_up_at, "the simulator outlived the demo"
        time.sleep(0.1)


def line_with(process: subprocess.Popen[str], pattern: str) -> str:
    """The next line on stderr that has the pattern."""
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(pattern, line):
            return line
    raise AssertionError(f"it ended without saying {pattern}")


def run_printed_lines(err: str, directory: Path, environment: dict[str, str]) -> None:
    """Run what the demo says one can run, as it is printed."""
    lines = dict(re.findall(r"^  (outcomes|SQL) +(.*)$", err, re.MULTILINE))
    variables = {k: v for k, v in environment.items() if k != "HUBSPOT_CALLS_DATA_DIR"}
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    for name in ("outcomes", "SQL"):
        done = subprocess.run(
            ["bash", "-c", lines[name]],
            cwd=directory,
            env=variables,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, "created" in done.stdout) == (0, True), done.stderr


def _answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/_simulator/health", timeout=1)
    except httpx.HTTPError:
        return False
    return True


@pytest.mark.parametrize(
    ("command", "said"),
    [("false", "false ended with exit code 1"), ("no-such-command", "cannot be started")],
)
def test_a_sync_command_that_fails_ends_the_demo_with_one_line(
    command: str, said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hubspot_calls", "demo", "--once", "--sync-command", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
