"""States of consent: good once, for ten minutes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from target_hubspot_calls.store.oauth_states import OAuthStates, Standing


@pytest.fixture
def states(engine, clock):
    return OAuthStates(engine, clock=clock)


def new_state(states, user_id="ada", **options):
    return states.create(user_id, "sales", browser_digest=b"browser", options=options)


def rows(engine):
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT * FROM oauth_states").fetchall()


def test_a_state_comes_back_with_what_it_was_made_for(states):
    used = states.use(new_state(states, popup="1"))

    assert used.standing is Standing.GOOD
    assert (used.user_id, used.workspace_id) == ("ada", "sales")
    assert used.browser_digest == b"browser"
    assert used.options == {"popup": "1"}


def test_a_state_is_good_once(states):
    state = new_state(states)

    standings = [states.use(state).standing for _ in range(3)]

    assert standings == [Standing.GOOD, Standing.USED, Standing.USED]


def test_of_many_at_once_one_is_good(states):
    state = new_state(states)

    with ThreadPoolExecutor(6) as pool:
        standings = [one.standing for one in pool.map(states.use, [state] * 6)]

    assert standings.count(Standing.GOOD) == 1


@pytest.mark.parametrize(("seconds", "standing"), [(599, "good"), (600, "expired")])
def test_a_state_is_good_for_ten_minutes(states, clock, seconds, standing):
    state = new_state(states)

    clock.pass_s(seconds)

    assert states.use(state).standing == standing


@pytest.mark.parametrize("state", ["", "x", "'; drop table oauth_states;--", "\ud800"])
def test_a_state_nobody_gave_out_is_unknown(states, state):
    new_state(states)

    assert states.use(state) is None


def test_states_are_long_random_and_stored_as_digests(states, engine):
    made = {new_state(states) for _ in range(20)}

    assert {len(state) for state in made} == {43}
    assert len(made) == 20
    assert not any(state in repr(rows(engine)) for state in made)


def test_old_states_are_swept_out(states, clock, engine):
    for _ in range(5):
        new_state(states)
    clock.pass_s(86_400 + 600)

    new_state(states)

    assert len(rows(engine)) == 1


def test_a_workspace_has_so_many_states_and_not_at_anothers_cost(states, clock, engine):
    other = new_state(states, "bob")
    made = []
    for _ in range(60):
        clock.pass_s(1)
        made.append(new_state(states))

    assert len(rows(engine)) == 51
    assert states.use(made[0]) is None
    assert states.use(made[-1]).standing is Standing.GOOD
    assert states.use(other).standing is Standing.GOOD
