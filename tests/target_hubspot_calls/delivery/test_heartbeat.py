"""Whether a run on another host still lives, by what it says in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select, update

from target_hubspot_calls.delivery.heartbeat import Heartbeat, Rhythm
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.database import open_database, reading, writing
from target_hubspot_calls.store.runs import Runs
from target_hubspot_calls.store.schema import runs
from target_hubspot_calls.store.shared_work import load_shared_work
from tests.target_hubspot_calls.store.postgresql_server import PostgreSQLServer

# The thread's own beats never come: tests beat when they want to.
BY_HAND = Rhythm(beat_every_s=3600)


class Stopwatch:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def engine(shared_url: str) -> Iterator[Engine]:
    engine = open_database(shared_url)
    yield engine
    engine.dispose()


@pytest.fixture
def enter(engine: Engine, watch: Stopwatch) -> Iterator[Callable[..., Heartbeat]]:
    """A run that has entered; all have the same stopwatch."""
    entered: list[Heartbeat] = []

    def enter(run_id: str) -> Heartbeat:
        heartbeat = Heartbeat(engine, run_id, rhythm=BY_HAND, monotonic=watch)
        heartbeat.enter()
        entered.append(heartbeat)
        return heartbeat

    yield enter
    for heartbeat in entered:
        heartbeat.leave()


def pass_s(watch: Stopwatch, seconds: int, *beating: Heartbeat) -> None:
    """Lets seconds pass in which these runs beat every two."""
    for _ in range(seconds // 2):
        watch.seconds += 2
        for heartbeat in beating:
            heartbeat.beat()


def test_a_run_that_falls_silent_is_dead_after_ten_seconds(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    mine, other = enter("mine"), enter("other")
    pass_s(watch, 10, mine, other)

    pass_s(watch, 8, mine)
    after_eight = mine.is_dead("other/7")
    pass_s(watch, 4, mine)

    assert not after_eight
    assert mine.is_dead("other/7")
    assert not mine.is_dead("mine/1")


def test_a_run_that_beats_is_alive_however_long(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    mine, other = enter("mine"), enter("other")

    pass_s(watch, 60, mine, other)

    assert not mine.is_dead("other/7")


def test_who_has_just_entered_judges_nobody(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    enter("other")
    watch.seconds += 60
    mine = enter("mine")

    pass_s(watch, 8, mine)
    early = mine.is_dead("other/7"), mine.is_dead("never-entered/1")
    pass_s(watch, 4, mine)

    assert early == (False, False)
    assert mine.is_dead("other/7")


def test_a_store_that_was_down_makes_nobody_dead(
    enter: Callable[..., Heartbeat],
    watch: Stopwatch,
    postgresql: PostgreSQLServer,
    engine: Engine,
) -> None:
    mine, other = enter("mine"), enter("other")
    pass_s(watch, 20, mine, other)
    name = engine.url.database
    postgresql.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgresql.run(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    watch.seconds += 20
    for heartbeat in (mine, other):
        with pytest.raises(StoreUnavailable):
            heartbeat.beat()
    unheard = mine.streak()
    postgresql.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    mine.beat()
    pass_s(watch, 8, mine)
    judged_early = mine.is_dead("other/7")
    other.beat()
    pass_s(watch, 8, mine, other)

    assert unheard is None
    assert not judged_early
    assert not mine.is_dead("other/7")


def test_a_run_that_left_in_order_has_nothing_any_more(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    mine, other = enter("mine"), enter("other")
    pass_s(watch, 10, mine, other)

    other.leave()
    mine.beat()

    assert mine.is_dead("other/7")


def test_a_run_that_left_may_have_sent_something_a_moment_ago_and_a_silent_one_not(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    mine, other = enter("mine"), enter("other")
    enter("silent")
    pass_s(watch, 12, mine, other)

    other.leave()
    pass_s(watch, 2, mine)

    assert mine.is_dead("other/7")
    assert mine.is_dead("silent/7")
    assert (mine.quiet_s("other/7"), mine.quiet_s("silent/7")) == (0.0, 5.0)


def test_a_run_that_vanishes_is_believed_alive_until_it_was_silent_for_long(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    mine, other = enter("mine"), enter("other")
    pass_s(watch, 10, mine, other)

    other.vanish()
    other.leave()
    pass_s(watch, 8, mine)
    early = mine.is_dead("other/7")
    pass_s(watch, 4, mine)

    assert not early
    assert mine.is_dead("other/7")
    assert mine.quiet_s("other/7") == 5.0


def test_a_run_that_entered_since_the_last_look_is_alive(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    mine = enter("mine")
    pass_s(watch, 10, mine)

    enter("new")

    assert not mine.is_dead("new/1")


def test_a_run_that_is_not_heard_stops_counting_on_itself_long_before_others_count_it_out(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    mine = enter("mine")
    first = mine.streak()
    watch.seconds += 4
    still = mine.streak()
    watch.seconds += 1

    unheard = mine.streak()
    mine.beat()

    assert (first, still, unheard) == (1, 1, None)
    assert mine.streak() == 2
    assert mine.quiet_s("mine/1") == 5.0


def test_a_server_whose_clock_jumps_makes_nobody_dead(
    enter: Callable[..., Heartbeat], watch: Stopwatch, engine: Engine
) -> None:
    mine, other = enter("mine"), enter("other")
    pass_s(watch, 20, mine, other)
    with writing(engine) as connection:
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        connection.execute(update(runs).where(runs.c.id == "other").values(seen_at=long_ago))

    mine.beat()
    after_jump = mine.is_dead("other/7")
    pass_s(watch, 12, mine)

    assert not after_jump
    assert mine.is_dead("other/7")


def test_time_is_the_servers_and_goes_on_between_beats(
    enter: Callable[..., Heartbeat], watch: Stopwatch
) -> None:
    mine = enter("mine")
    told = mine.now()

    watch.seconds += 1.5

    assert mine.now() - told == timedelta(seconds=1.5)
    assert abs((told - datetime.now(UTC)).total_seconds()) < 5


def test_runs_of_yesterday_are_forgotten(
    enter: Callable[..., Heartbeat], watch: Stopwatch, engine: Engine
) -> None:
    mine = enter("mine")
    now = datetime.now(UTC)
    with writing(engine) as connection:
        connection.execute(
            runs.insert(),
            [
                {"id": "yesterday", "seen_at": now - timedelta(days=1, minutes=1)},
                {"id": "today", "seen_at": now - timedelta(hours=23)},
            ],
        )

    mine.beat()

    with reading(engine) as connection:
        known = set(connection.execute(select(runs.c.id)).scalars())
    assert known == {"mine", "today"}
    assert not Runs(engine).is_known("yesterday")


def test_a_heartbeat_needs_no_free_connection_of_others(engine: Engine, watch: Stopwatch) -> None:
    heartbeat = Heartbeat(engine, "mine", rhythm=BY_HAND, monotonic=watch)
    heartbeat.enter()
    taken = [engine.connect() for _ in range(12)]

    heartbeat.beat()

    for connection in taken:
        connection.close()
    heartbeat.leave()
    assert heartbeat.streak() == 1


def test_a_heart_beats_by_itself(engine: Engine) -> None:
    heartbeat = Heartbeat(engine, "mine", rhythm=Rhythm(beat_every_s=0.02, sure_s=0.5))
    heartbeat.enter()
    first = Runs(engine).beat("other").seen_at["mine"]

    while Runs(engine).beat("other").seen_at["mine"] == first:
        pass
    heartbeat.leave()

    assert "mine" not in Runs(engine).beat("other").seen_at


@pytest.mark.parametrize(("silent_s", "counted"), [(8, 1), (12, 0)])
def test_a_run_is_counted_for_as_long_as_others_hold_it_for_alive(
    engine: Engine, silent_s: int, counted: int
) -> None:
    seen = Runs(engine).beat("one").now
    with writing(engine) as connection:
        connection.execute(update(runs).values(seen_at=seen - timedelta(seconds=silent_s)))

    assert load_shared_work(engine, "").runs == counted
