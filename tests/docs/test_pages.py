"""What the pages say of the code is so: links, lists of words, settings, metrics, commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from hubspot_calls.settings import variable_names
from receiver.openapi.document import build_document
from tap_vapi.streams import CallsStream
from tap_vapi.tap import TapVapi
from target_hubspot_calls.errors import CallOutcomeError, Reason, Status
from target_hubspot_calls.recordings.status import RecordingStatus
from tests.docs.settings_page import PAGE as SETTINGS_PAGE
from tests.docs.settings_page import SECTIONS, all_names, build_page
from tests.documents import (
    DOCS,
    PAGES,
    ROOT,
    anchors_of,
    blocks_of,
    codes_in,
    links_of,
    mentions_in,
    parse,
    prose_of,
    rows_of,
    words_of,
)

TEXTS = {page.name: page.read_text("utf-8") for page in PAGES}
WRITTEN = {Reason.CREATED, Reason.UPDATED, Reason.UNCHANGED}


def page_name(page: Path) -> str:
    return page.name


def page_and_folder(page: Path) -> str:
    return f"{page.parent.name}/{page.name}"


def errors(base: type[CallOutcomeError]) -> Iterator[type[CallOutcomeError]]:
    """Every error that has a reason of its own."""
    for error in base.__subclasses__():
        if "reason" in vars(error):
            yield error
        yield from errors(error)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    dead = []
    for link in links_of(TEXTS[page.name]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text("utf-8"))):
            dead.append(link)

    assert dead == []


def test_every_page_is_on_the_map() -> None:
    named = {link.partition("#")[0] for link in links_of(TEXTS["README.md"])}

    assert set(TEXTS) - named - {"README.md"} == set()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_lines_are_no_longer_than_a_screen(page: Path) -> None:
    lines = prose_of(TEXTS[page.name]).splitlines()

    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((ROOT / "examples").glob("*/README.md"))], ids=page_and_folder
)
def test_no_page_has_a_place_that_is_still_to_be_filled(page: Path) -> None:
    left = re.findall(r"@@|\b(?:TODO|FIXME)\b", page.read_text("utf-8"))

    assert left == []


def test_the_settings_page_names_the_settings_of_the_sdk() -> None:
    rows = rows_of(TEXTS["settings.md"], "Of the Singer SDK")

    of_both, of_the_target = (codes_in(row[1]) for row in rows)

    assert {"stream_maps", "flattening_enabled", "faker_config"} <= set(of_both)
    assert of_the_target == ["add_record_metadata", "batch_size_rows"]


def test_the_settings_page_is_what_the_code_says() -> None:
    assert build_page() == SETTINGS_PAGE.read_text("utf-8"), (
        "run python -m tests.docs.settings_page"
    )


def test_the_settings_page_has_every_setting_once() -> None:
    named = [name for names in SECTIONS.values() for name in names]

    assert sorted(named) == sorted(all_names())


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_variables_that_a_page_names_are_settings(page: Path) -> None:
    named = re.findall(r"\b(?:HUBSPOT|VAPI)_[A-Z_]+[A-Z]\b(?!\*|_)", TEXTS[page.name])
    ours = {name for name in named if name not in {"HUBSPOT_CALLS", "VAPI_PRIVATE_KEY"}}

    assert {name for name in ours if not _is_part_of_another(name)} <= set(variable_names())


def _is_part_of_another(name: str) -> bool:
    """The variable of a Singer setting ends in one of ours' names or stands for many."""
    return name.startswith("HUBSPOT_CALLS_") and f"TARGET_{name}" in "".join(TEXTS.values())


def test_the_outcomes_page_names_every_reason_with_its_status_and_its_retries() -> None:
    named = [
        (reason, (row[1], None if row[2] == "-" else row[2] != "no"))
        for row in rows_of(TEXTS["outcomes.md"], "Reasons")
        for reason in codes_in(row[0])
    ]

    assert len(named) == len(Reason)
    assert dict(named) == {
        **{reason.value: (Status.SUCCESS.value, None) for reason in WRITTEN},
        **{e.reason.value: (e.status.value, e.retryable) for e in errors(CallOutcomeError)},
    }


def test_the_outcomes_page_names_every_status_of_a_recording() -> None:
    named = [
        code for row in rows_of(TEXTS["outcomes.md"], "Recordings") for code in codes_in(row[0])
    ]

    assert sorted(named) == sorted(RecordingStatus)


def test_the_meltano_page_names_every_field_of_a_call() -> None:
    fields = CallsStream(TapVapi(config={"data_dir": "nowhere"})).schema["properties"]

    named = [
        code
        for row in rows_of(TEXTS["meltano.md"], "From another tap")
        for code in codes_in(re.sub(r"\([^)]*\)", "", row[0]))
    ]

    assert sorted(named) == sorted(fields)


def test_metrics_that_a_page_names_are_counted() -> None:
    known = "".join(
        path.read_text("utf-8")
        for path in (ROOT / "receiver/metrics.py", ROOT / "hubspot_calls/shared_figures.py")
    )
    named = set(re.findall(r"\bhubspot_calls_([a-z_]+)", TEXTS["running.md"]))
    stems = {re.sub(r"_(count|sum|bucket|total)$", "", name) for name in named}

    assert len(stems) >= 5
    assert {stem for stem in stems if f'{stem}"' not in known} == set()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_in_sentences_exist_and_may_leave_out_options(page: Path) -> None:
    for mention in mentions_in(TEXTS[page.name]):
        with suppress(click.MissingParameter):
            parse(words_of(mention)[1:])


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_of_blocks_that_are_not_run_exist(page: Path) -> None:
    shown = [
        line.removesuffix("\\")
        for block in blocks_of(TEXTS[page.name])
        if block.language == "sh"
        for line in block.text.splitlines()
        if line.startswith("hubspot-calls ")
    ]
    for line in shown:
        with suppress(click.MissingParameter, click.BadParameter):
            parse(words_of(line)[1:])


@pytest.mark.parametrize(
    "files",
    [["hubspot-calls.service"], ["hubspot-calls-backup.service", "hubspot-calls-backup.timer"]],
    ids=["service", "backup"],
)
def test_systemd_takes_the_units(files: list[str], tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there")
    for name in files:
        unit = (DOCS / "systemd" / name).read_text("utf-8")
        here = str(Path(sys.executable).parent)
        (tmp_path / name).write_text(unit.replace("/opt/hubspot-calls/.venv/bin", here))

    verified = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / name for name in files)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (verified.stderr, verified.returncode) == ("", 0)


def test_makefile_targets_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = {
        words.removeprefix("make ")
        for text in TEXTS.values()
        for words in codes_in(prose_of(text))
        if re.fullmatch(r"make [a-z-]+", words)
    }

    assert {name for name in named if f"\n{name}: " not in makefile} == set()


def test_files_that_the_house_page_names_exist() -> None:
    named = codes_in(TEXTS["house.md"].partition("## Checks")[0])
    files = [name for name in named if re.fullmatch(r"[\w/]+\.py", name)]
    rooms = [ROOT, ROOT / "target_hubspot_calls"]

    assert len(files) > 20
    assert [name for name in files if not any((room / name).exists() for room in rooms)] == []


def test_addresses_that_the_api_page_names_are_described_by_the_api() -> None:
    described = {
        f"{method.upper()} {path}"
        for path, methods in build_document("http://127.0.0.1:8000")["paths"].items()
        for method in methods
    }
    named = {
        code.partition("?")[0]
        for code in codes_in(prose_of(TEXTS["api.md"]))
        if re.match(r"(GET|POST|DELETE) /", code)
    }

    assert len(named) >= 15
    assert named - described - {"GET /openapi.json"} == set()
