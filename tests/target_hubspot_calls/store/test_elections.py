"""Offices that one process of all hosts has at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, update

from target_hubspot_calls.store.database import open_database, writing
from target_hubspot_calls.store.elections import Elections
from target_hubspot_calls.store.one_holder import Taken
from target_hubspot_calls.store.schema import elections as table
from tests.target_hubspot_calls.store.postgresql_server import PostgreSQLServer


@pytest.fixture
def elections(engine: Engine) -> Elections:
    return Elections(engine)


@pytest.fixture
def let_pass(engine: Engine) -> Callable[[float], None]:
    """Lets the time of whoever has an office run on, whatever clock it is measured by."""

    def let_pass(seconds: float) -> None:
        with writing(engine) as connection:
            now = datetime.now(UTC)
            connection.execute(update(table).values(expires_at=now + timedelta(seconds=-seconds)))

    return let_pass


def ask(elections: Elections, holder: str, office: str = "reader", dead: str = "") -> Taken:
    return elections.take(
        office, holder, for_s=30, now=datetime.now(UTC), is_dead=lambda name: name == dead
    )


def take(elections: Elections, holder: str, office: str = "reader", dead: str = "") -> bool:
    return bool(ask(elections, holder, office, dead))


def test_an_office_has_one_holder_at_a_time(elections: Elections) -> None:
    taken = [take(elections, "first"), take(elections, "second"), take(elections, "first")]

    assert taken == [True, False, True]
    assert elections.holder_of("reader") == "first"


def test_offices_have_holders_of_their_own(elections: Elections) -> None:
    take(elections, "first")

    assert take(elections, "second", "sync_log")
    assert elections.holder_of("sync_log") == "second"


def test_nobody_has_an_office_that_was_given_back(elections: Elections) -> None:
    take(elections, "first")

    elections.give_back("reader", "first")

    assert elections.holder_of("reader") is None
    assert elections.holder_of("never stood for") is None
    assert take(elections, "second")


def test_nobody_gives_back_the_office_of_another(elections: Elections) -> None:
    take(elections, "first")

    elections.give_back("reader", "second")

    assert elections.holder_of("reader") == "first"


def test_an_office_whose_time_ran_out_is_anothers_and_its_holder_learns_of_it(
    elections: Elections, let_pass: Callable[[float], None]
) -> None:
    take(elections, "first")
    let_pass(0)

    taken = [take(elections, "second"), take(elections, "first")]

    assert taken == [True, False]


def test_the_office_of_a_dead_process_is_free_at_once(elections: Elections) -> None:
    take(elections, "first")

    assert take(elections, "second", dead="first")


def test_whoever_asks_again_learns_that_another_had_the_office_meanwhile(
    elections: Elections,
) -> None:
    before = [ask(elections, "first"), ask(elections, "first")]
    ask(elections, "second", dead="first")
    elections.give_back("reader", "second")

    after = [ask(elections, "first"), ask(elections, "first")]

    assert before == [Taken.OURS, Taken.OURS]
    assert after == [Taken.TAKEN_OVER, Taken.OURS]


def test_of_many_that_stand_at_once_one_is_elected(url: str, engine: Engine) -> None:
    engines = [open_database(url) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        taken = list(
            pool.map(lambda n: take(Elections(engines[n]), f"host-{n}", "sync_log"), range(4))
        )

    for each in engines:
        each.dispose()
    assert sorted(taken) == [False, False, False, True]


def test_hosts_whose_clocks_disagree_agree_on_who_has_an_office(
    postgresql: PostgreSQLServer,
) -> None:
    engine = open_database(postgresql.url("ours"))
    elections = Elections(engine)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    elections.take("clocks", "first", for_s=0.5, now=ahead, is_dead=lambda _: False)

    early = bool(elections.take("clocks", "ahead", for_s=9, now=ahead, is_dead=lambda _: False))
    time.sleep(0.6)
    late = take(elections, "second", "clocks")

    engine.dispose()
    assert (early, late) == (False, True)
