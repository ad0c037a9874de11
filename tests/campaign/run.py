"""The campaign by hand: `python -m tests.campaign.run --runs 1000 --seed 1 --parallel 2`.

Prints each failing seed with the command that repeats it; exits 1 if there was any.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.campaign.harness import Result, run_seed


def main() -> int:
    """Runs the seeds asked for; 0 if all kept every promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.run", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how many seeds")
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--parallel", type=int, default=1, help="runs at once")
    parser.add_argument("--minutes", type=float, help="begin no run after so long")
    parser.add_argument("--keep", action="store_true", help="leave the files of each run")
    asked = parser.parse_args()
    began = time.monotonic()
    done: list[Result] = []
    for result in _results(asked):
        done.append(result)
        if result.faults:
            _tell(f"\nseed {result.seed} FAILED; repeat: {repeat(result.seed)}")
            for fault in result.faults[:12]:
                _tell(f"  {fault}")
        elif len(done) % 50 == 0:
            _tell(f"{len(done)} runs, {time.monotonic() - began:.0f} s")
    failed = sorted(result.seed for result in done if result.faults)
    _tell(
        f"\n{len(done)} runs, {sum(r.calls for r in done)} calls, {sum(r.deaths for r in done)}"
        f" processes killed, {sum(r.requests for r in done)} requests,"
        f" {sum(r.seconds for r in done) / max(1, len(done)):.2f} s a run,"
        f" {time.monotonic() - began:.0f} s in all; {len(failed)} failed {failed}"
    )
    return 1 if failed else 0


def repeat(seed: int) -> str:
    """The command that repeats one run."""
    return f"python -m tests.campaign.run --seed {seed}"


def _results(asked: argparse.Namespace) -> Iterator[Result]:
    seeds = range(asked.seed, asked.seed + asked.runs)
    ends = time.monotonic() + asked.minutes * 60 if asked.minutes else float("inf")
    if asked.parallel == 1:
        for seed in seeds:
            if time.monotonic() < ends:
                yield _run(seed, asked.keep)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.parallel, mp_context=context) as pool:
        waiting = {pool.submit(_run, seed, asked.keep, ends): seed for seed in seeds}
        for future in as_completed(waiting):
            result = future.result()
            if result is not None:
                yield result


def _run(seed: int, keep: bool, ends: float = float("inf")) -> Result | None:
    if time.monotonic() > ends:
        return None
    try:
        return run_seed(seed, keep=keep)
    except Exception as err:  # noqa: BLE001  one broken run must not end the campaign
        return Result(seed, [f"the run broke: {err!r}"], 0.0, 0, 0, 0)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
