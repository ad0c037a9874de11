"""Page sessions as rows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from target_hubspot_calls.store.keys import AccessKeys
from target_hubspot_calls.store.sessions import Sessions


@pytest.fixture
def key(engine, clock):
    return AccessKeys(engine, clock=clock).create("ada", "sales")[0]


@pytest.fixture
def sessions(engine, clock):
    return Sessions(engine, clock=clock)


def rows(engine):
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT * FROM sessions").fetchall()


def test_a_session_opens_what_its_key_opens(sessions, key):
    session, session_id = sessions.create(key.id)

    found = sessions.find(session_id)

    assert found == session
    assert (found.user_id, found.workspace_id, found.access_key_id) == ("ada", "sales", key.id)


def test_only_the_digest_of_an_id_is_stored(sessions, key, engine):
    _, session_id = sessions.create(key.id)

    assert session_id not in repr(rows(engine))
    assert len(session_id) == 43


@pytest.mark.parametrize("session_id", ["", "x", "a" * 43, "'; drop table sessions;--", "\ud800"])
def test_an_unknown_id_opens_nothing(sessions, key, session_id):
    sessions.create(key.id)

    assert sessions.find(session_id) is None


def test_a_revoked_key_gets_no_session_and_ends_those_it_has(sessions, key, engine, clock):
    _, session_id = sessions.create(key.id)

    AccessKeys(engine, clock=clock).revoke(key.id)

    assert sessions.find(session_id) is None
    assert sessions.create(key.id) is None


def test_a_session_is_noted_as_seen_once_a_minute(sessions, key, clock):
    session, session_id = sessions.create(key.id)
    clock.pass_s(30)
    soon = sessions.find(session_id)
    clock.pass_s(31)
    sessions.find(session_id)

    assert soon.seen_at == session.seen_at
    assert sessions.find(session_id).seen_at == clock.now


def test_sessions_end_idle_and_for_good(engine, key, clock):
    sessions = Sessions(
        engine, idle=timedelta(minutes=10), lifetime=timedelta(minutes=25), clock=clock
    )
    _, idle = sessions.create(key.id)
    _, used = sessions.create(key.id)

    alive = []
    for _ in range(4):
        clock.pass_s(9 * 60)
        alive.append(sessions.find(used) is not None)

    assert alive == [True, True, False, False]
    assert sessions.find(idle) is None


def test_looking_at_a_session_does_not_keep_it_alive(engine, key, clock):
    sessions = Sessions(engine, clock=clock, idle=timedelta(hours=1))
    _, session_id = sessions.create(key.id)

    clock.pass_s(59 * 60)
    looked_at = sessions.find(session_id, is_used=False)
    clock.pass_s(2 * 60)

    assert looked_at is not None
    assert sessions.find(session_id) is None


def test_sessions_that_ended_are_swept_out_by_the_next_sign_in(sessions, key, clock, engine):
    for _ in range(5):
        sessions.create(key.id)
    clock.pass_s(12 * 3600)

    sessions.create(key.id)

    assert len(rows(engine)) == 1


def test_a_session_that_was_ended_is_gone(sessions, key):
    session, session_id = sessions.create(key.id)
    _, other_id = sessions.create(key.id)

    sessions.end(session)

    assert sessions.find(session_id) is None
    assert sessions.find(other_id) is not None


def test_idleness_never_outlives_the_last_day(sessions, key, clock):
    session, _ = sessions.create(key.id)
    clock.pass_s(7 * 86_400 - 60)

    assert sessions.idle_until(session) == session.expires_at
