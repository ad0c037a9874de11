from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from hubspot_simulator import Simulator

FILES = "/files/2026-09/files"
OPTIONS = {
    "access": "PRIVATE",
    "overwrite": False,
    "duplicateValidationStrategy": "NONE",
    "duplicateValidationScope": "EXACT_FOLDER",
}


def upload(
    client: httpx.Client,
    content: bytes = b"RIFF",
    name: str = "call-1.wav",
    options: dict[str, Any] | None = None,
    **fields: str,
) -> httpx.Response:
    written = {"folderPath": "/vapi", "options": json.dumps({**OPTIONS, **(options or {})})}
    return client.post(
        FILES, files={"file": (name, content, "audio/wav")}, data={**written, **fields}
    )


def test_an_upload_is_measured_and_named(simulator: Simulator, client: httpx.Client) -> None:
    answer = upload(client, b"x" * 100_000, fileName="call-9.wav")

    found = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"].endswith(found["id"])
    assert (found["name"], found["extension"], found["path"], found["type"]) == (
        "call-9",
        "wav",
        "/vapi/call-9.wav",
        "AUDIO",
    )
    assert found["size"] == 100_000
    assert found["fileMd5"] == hashlib.md5(b"x" * 100_000).hexdigest()
    assert simulator.files()[0]["id"] == found["id"]


def test_a_big_upload_is_hashed_and_not_kept(simulator: Simulator, client: httpx.Client) -> None:
    found = upload(client, b"y" * 3_000_000).json()

    stored = simulator.portal().files.files[found["id"]]
    assert (stored.size, stored.content) == (3_000_000, None)


def test_a_file_too_big_is_refused(simulator: Simulator, client: httpx.Client) -> None:
    simulator.settings.max_file_bytes = 1_000

    answer = upload(client, b"y" * 2_000)

    assert answer.status_code == 413
    assert simulator.files() == []


def test_a_duplicate_is_returned_rejected_or_renamed(
    simulator: Simulator, client: httpx.Client
) -> None:
    first = upload(client).json()

    returned = upload(client, b"other", options={"duplicateValidationStrategy": "RETURN_EXISTING"})
    rejected = upload(client, options={"duplicateValidationStrategy": "REJECT"})
    renamed = upload(client)

    assert (returned.status_code, returned.json()["id"]) == (201, first["id"])
    assert (rejected.status_code, rejected.json()["category"]) == (409, "CONFLICT")
    assert renamed.json()["name"] == "call-1-1"
    assert len(simulator.files()) == 2


def test_another_folder_is_no_duplicate_unless_the_portal_is_asked(client: httpx.Client) -> None:
    first = upload(client).json()
    strategy = {"duplicateValidationStrategy": "RETURN_EXISTING"}

    in_folder = upload(client, options=strategy, folderPath="/other")
    anywhere = upload(
        client,
        options={**strategy, "duplicateValidationScope": "ENTIRE_PORTAL"},
        folderPath="/third",
    )

    assert in_folder.json()["id"] != first["id"]
    assert anywhere.json()["id"] == first["id"]


def test_duplicates_may_be_judged_by_content(simulator: Simulator, client: httpx.Client) -> None:
    simulator.settings.file_duplicates_by = "content"
    first = upload(client, b"same", "a.wav").json()
    strategy = {"duplicateValidationStrategy": "RETURN_EXISTING"}

    same = upload(client, b"same", "b.wav", options=strategy).json()
    other = upload(client, b"other", "a.wav", options=strategy).json()

    assert same["id"] == first["id"]
    assert other["id"] != first["id"]


def test_overwriting_makes_a_new_id(simulator: Simulator, client: httpx.Client) -> None:
    first = upload(client).json()

    second = upload(client, b"new", options={"overwrite": True}).json()

    assert second["id"] != first["id"]
    assert [found["id"] for found in simulator.files()] == [second["id"]]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        pytest.param({"access": "SECRET"}, {}, id="access"),
        pytest.param({"access": "HIDDEN_PRIVATE"}, {}, id="hidden"),
        pytest.param({"accesss": "PRIVATE"}, {}, id="unknown-option"),
        pytest.param({"overwrite": "no"}, {}, id="overwrite-as-text"),
        pytest.param({"duplicateValidationStrategy": "MAYBE"}, {}, id="strategy"),
        pytest.param({"ttl": "P2Y"}, {}, id="ttl-too-long"),
        pytest.param({"ttl": "tomorrow"}, {}, id="ttl-no-period"),
        pytest.param({}, {"folderId": "1"}, id="both-folders"),
        pytest.param({}, {"colour": "red"}, id="unknown-part"),
    ],
)
def test_a_wrong_upload_is_refused(
    simulator: Simulator, client: httpx.Client, options: dict[str, Any], fields: dict[str, str]
) -> None:
    answer = upload(client, options=options, **fields)

    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert simulator.files() == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param({"data": {"options": json.dumps(OPTIONS)}}, 415, id="urlencoded"),
        pytest.param({"json": OPTIONS}, 415, id="json"),
        pytest.param({"files": {"other": ("a.wav", b"x")}}, 400, id="no-file"),
        pytest.param(
            {"files": {"file": ("a.wav", b"x")}, "data": {"options": json.dumps(OPTIONS)}},
            400,
            id="no-folder",
        ),
        pytest.param(
            {"files": {"file": ("a.wav", b"x")}, "data": {"folderPath": "/a", "options": "{"}},
            400,
            id="options-no-json",
        ),
        pytest.param(
            {"files": {"file": ("a.wav", b"x")}, "data": {"folderPath": "/a", "options": "{}"}},
            400,
            id="no-access",
        ),
        pytest.param(
            {"files": {"file": ("a.wav", b"x")}, "data": {"folderPath": "/a"}},
            400,
            id="no-options",
        ),
    ],
)
def test_an_upload_needs_all_its_parts(
    client: httpx.Client, sent: dict[str, Any], status: int
) -> None:
    assert client.post(FILES, **sent).status_code == status


def test_a_folder_may_be_named_by_id(client: httpx.Client) -> None:
    folder = upload(client).json()["parentFolderId"]
    files = {"file": ("b.wav", b"x")}
    data = {"folderId": folder, "options": json.dumps(OPTIONS)}

    known = client.post(FILES, files=files, data=data)
    unknown = client.post(FILES, files=files, data={**data, "folderId": "999"})

    assert known.json()["path"] == "/vapi/b.wav"
    assert unknown.status_code == 404


def test_a_private_file_opens_by_signature_only(
    simulator: Simulator, client: httpx.Client, clock: Any
) -> None:
    found = upload(client, b"sound").json()

    signed = client.get(f"{FILES}/{found['id']}/signed-url", params={"expirationSeconds": 60})
    url = signed.json()["url"]
    opened = client.get(url)
    clock.advance(61)
    late = client.get(url)

    assert client.get(found["url"]).status_code == 404
    assert opened.content == b"sound"
    assert late.status_code == 403


def test_files_are_read_found_and_deleted(client: httpx.Client) -> None:
    found = upload(client).json()

    read = client.get(f"{FILES}/{found['id']}")
    by_name = client.get(f"{FILES}/search", params={"name": "call-1"})
    by_path = client.get(f"{FILES}/stat/vapi/call-1.wav")
    gone = client.delete(f"{FILES}/{found['id']}")
    after = client.get(f"{FILES}/{found['id']}")

    assert read.json() == found
    assert [one["id"] for one in by_name.json()["results"]] == [found["id"]]
    assert by_path.json()["file"]["id"] == found["id"]
    assert (gone.status_code, after.status_code) == (204, 404)


def test_an_upload_cut_off_before_its_end_is_refused(
    simulator: Simulator, client: httpx.Client
) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nxx'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    answer = client.post(FILES, content=body, headers=headers)

    assert answer.status_code == 400
    assert simulator.files() == []
