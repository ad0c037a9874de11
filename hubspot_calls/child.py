"""Runs one of our commands in a child process that ends when its parent does.

Knows only a module with a `main`; which module, with which arguments, is the parent's business.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading


def _end_with_parent(lifeline: int) -> None:
    # The parent holds the other end and never writes: a read returns when it is gone, however
    # it went. SIGTERM then lets this process end in its usual, orderly way.
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run `python -m hubspot_calls.child LIFELINE_FD NAME MODULE ARGUMENT...`."""
    _, lifeline, name, module, *arguments = sys.argv
    threading.Thread(target=_end_with_parent, args=(int(lifeline),), daemon=True).start()
    sys.argv = [name, *arguments]
    importlib.import_module(module).main()


if __name__ == "__main__":
    main()
