"""How much processor time a start takes: of help, completion, history, and of tap and target.

Of tap and target it also says what the SDK and the libraries alone take, so that the rest is ours.
Run: python benchmarks/start_times.py [--rounds N] [--data-dir DIR]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile

CLAIM_S = 0.3
QUICK = ("--help", "--version", "a tab: a command", "a tab: a reason", "history --help")
SDK = "import singer_sdk, singer_sdk.contrib.msgspec"
LIBRARIES = f"{SDK}; import sqlalchemy, duckdb, httpx, phonenumbers, cryptography.fernet, alembic"


def main() -> None:
    """Prints medians; exit 1 if help or a tab take more processor time than we claim."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--data-dir", help="a data directory with a history, to show it")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PATH": os.environ["PATH"], "HUBSPOT_CALLS_DATA_DIR": f"{folder}/data"}
        if chosen.data_dir:
            environment["HUBSPOT_CALLS_DATA_DIR"] = os.path.realpath(chosen.data_dir)
        load = os.getloadavg()[0]
        print(f"processor seconds, median of {chosen.rounds}; load {load:.1f} on {os.cpu_count()}")
        slow = []
        for name, (command, more) in starts().items():
            seconds = statistics.median(
                processor_s(command, environment | more, folder) for _ in range(chosen.rounds)
            )
            print(f"{name:32} {seconds:6.3f}")
            if name in QUICK and seconds > CLAIM_S:
                slow.append(name)
    if slow:
        sys.exit(f"more than {CLAIM_S} s of processor time: {', '.join(slow)}")


def starts() -> dict[str, tuple[list[str], dict[str, str]]]:
    """What is started, by its name: the command, and variables beside the usual ones."""
    ours = [sys.executable, "-m", "hubspot_calls"]
    found: dict[str, tuple[list[str], dict[str, str]]] = {
        "python alone": ([sys.executable, "-c", "pass"], {}),
        "--help": ([*ours, "--help"], {}),
        "--version": ([*ours, "--version"], {}),
        "a tab: a command": (ours, tab("hubspot-calls hi")),
        "a tab: a reason": (ours, tab("hubspot-calls history --reason inv")),
    }
    for words in (
        "history --help",
        "history",
        "retry --dry-run",
        "keys list",
        "doctor --offline",
        "serve --help",
        "sync --help",
    ):
        found[words] = ([*ours, *words.split()], {})
    for name, program in (
        ("the SDK alone", SDK),
        ("the SDK and all libraries", LIBRARIES),
        ("tap-vapi, imported", "import tap_vapi.tap"),
        ("target-hubspot-calls, imported", "import target_hubspot_calls.target"),
    ):
        found[name] = ([sys.executable, "-c", program], {})
    return found


def tab(line: str) -> dict[str, str]:
    """What bash says when the tab key is pressed behind this line."""
    return {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
        "_HUBSPOT_CALLS_COMPLETE": "bash_complete",
    }


def processor_s(command: list[str], environment: dict[str, str], folder: str) -> float:
    """The time the process spent, in itself and in the system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
