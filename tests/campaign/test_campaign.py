"""A few dozen runs of the seeded fault campaign; `python -m tests.campaign.run` does more."""

from __future__ import annotations

from concurrent.futures import Executor, Future

import pytest

from tests.campaign.harness import Result, run_seed
from tests.campaign.plan import plan_of
from tests.campaign.run import repeat

SEEDS = range(1, 9)
MORE_SEEDS = range(9, 25)


@pytest.fixture(scope="module")
def results(pool: Executor, request: pytest.FixtureRequest) -> dict[int, Future[Result]]:
    items = [item for item in request.session.items if item.path == request.path]
    seeds = [item.callspec.params["seed"] for item in items if hasattr(item, "callspec")]
    return {seed: pool.submit(run_seed, seed) for seed in seeds}


@pytest.mark.parametrize(
    "seed",
    [*SEEDS, *(pytest.param(seed, marks=pytest.mark.long) for seed in MORE_SEEDS)],
    ids=lambda seed: f"seed {seed}",
)
def test_every_call_has_exactly_one_engagement_once_faults_are_over(
    seed: int, results: dict[int, Future[Result]]
) -> None:
    result = results[seed].result()

    assert result.faults == [], f"repeat it with: {repeat(seed)}"


def test_a_seed_decides_its_whole_run() -> None:
    assert plan_of(17) == plan_of(17)
    assert plan_of(17) != plan_of(18)
