"""`python -m hubspot_calls`, the same as the command `hubspot-calls`.

Knows only how to load it: Ctrl-C while it loads ends it quietly, as it does later.
"""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command and end the process."""
    # Python's own way would be a traceback from wherever an import was just then.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from hubspot_calls.cli import main as run

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
