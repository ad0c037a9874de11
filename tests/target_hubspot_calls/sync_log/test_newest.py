"""The newest row of a workspace, asked for every few seconds by pages."""

from __future__ import annotations

import pytest

from target_hubspot_calls.sync_log.log import SyncLog, SyncLogBusy
from target_hubspot_calls.sync_log.newest import NewestRows


class CountedLog:
    """A sync log that counts how often it is read."""

    def __init__(self, log):
        self._log = log
        self.read = 0

    def version(self):
        return self._log.version()

    def newest_id(self, user_id, workspace_id):
        self.read += 1
        return self._log.newest_id(user_id, workspace_id)


def test_the_log_is_read_only_after_something_was_written(log, path, a_row):
    counted = CountedLog(log)
    newest = NewestRows(counted)
    rows = [a_row(), a_row(), a_row(user_id="grace")]
    log.append(rows[:1])

    first = [newest.id_of("ada", "sales") for _ in range(3)]
    SyncLog(path).append(rows[1:2])
    second = [newest.id_of("ada", "sales") for _ in range(3)]

    assert first == [rows[0]["id"]] * 3
    assert second == [rows[1]["id"]] * 3
    assert counted.read == 2


def test_each_workspace_has_its_own(log, a_row):
    newest = NewestRows(log)
    hers, his = a_row(), a_row(user_id="grace")
    log.append([hers, his])

    assert newest.id_of("ada", "sales") == hers["id"]
    assert newest.id_of("grace", "sales") == his["id"]
    assert newest.id_of("nobody", "sales") is None


def test_a_log_that_is_not_there_yet_has_none_until_it_is(log, a_row):
    newest = NewestRows(log)
    before = newest.id_of("ada", "sales")
    row = a_row()
    log.append([row])

    assert (before, newest.id_of("ada", "sales")) == (None, row["id"])


def test_a_busy_log_is_asked_again_the_next_time(log, a_row):
    row = a_row()
    log.append([row])

    class BusyOnce(CountedLog):
        def newest_id(self, user_id, workspace_id):
            if not self.read:
                self.read += 1
                raise SyncLogBusy("The sync log is open in another program.")
            return super().newest_id(user_id, workspace_id)

    newest = NewestRows(BusyOnce(log))

    with pytest.raises(SyncLogBusy):
        newest.id_of("ada", "sales")
    assert newest.id_of("ada", "sales") == row["id"]
