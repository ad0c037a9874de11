import os
from pathlib import Path

import pytest

from call_stream.stream import (
    EntryKind,
    StreamUnavailable,
    UnsupportedStreamUrl,
    open_reader,
    open_writer,
)


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "FILE:{}"], ids=str)
def test_a_file_url_with_an_absolute_path_opens_that_directory(form, tmp_path):
    url = form.format(tmp_path / "made" / "here")

    writer = open_writer(url)
    position = writer.append(EntryKind.CALL, b"{}").result(10)
    writer.close()

    assert [entry.position for entry in open_reader(url).read()] == [position]
    assert (tmp_path / "made" / "here" / "writer.lock").exists()


def test_a_file_url_with_a_relative_path_starts_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    open_writer("file:data dir/stream 100%").close()

    assert (tmp_path / "data dir" / "stream 100%" / "writer.lock").exists()


@pytest.mark.parametrize(
    "url",
    ["", "stream", "file:", "file://", "file://host/path", "kafka://u:hunter2@h:9092", "file:\0"],
)
@pytest.mark.parametrize("opener", [open_writer, open_reader])
def test_any_other_url_is_refused_with_what_is_supported(opener, url):
    with pytest.raises(UnsupportedStreamUrl, match="supported is file:") as caught:
        opener(url)

    assert "hunter2" not in str(caught.value)


def test_only_the_owner_can_read_a_stream(tmp_path):
    url = f"file:{tmp_path}/stream"
    writer = open_writer(url)
    writer.append(EntryKind.CALL, b"{}").result(10)
    open_reader(url).save_position("tap", 1)
    writer.close()

    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "stream").rglob("*")}

    assert (tmp_path / "stream").stat().st_mode & 0o777 == 0o700
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_an_unwritable_directory_is_a_clear_error(tmp_path):
    tmp_path.chmod(0o500)

    with pytest.raises(StreamUnavailable, match="cannot be used: Permission denied"):
        open_writer(f"file:{tmp_path}/stream")


def test_a_file_in_the_place_of_the_directory_is_a_clear_error(tmp_path: Path):
    (tmp_path / "stream").write_text("in the way")

    with pytest.raises(StreamUnavailable, match="cannot be used"):
        open_writer(f"file:{tmp_path}/stream")
