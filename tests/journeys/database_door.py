"""One host's own way to PostgreSQL, which can be shut while other hosts go on.

Knows sockets alone.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path


class DatabaseDoor:
    """A PostgreSQL socket of one host's own, that can be shut while others go on."""

    def __init__(self, folder: Path, server_folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._server = str(server_folder / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen(64)
        self._open = threading.Event()
        self._open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """From now on nothing comes through, in either way; connections stay as they are."""
        self._open.clear()

    def open(self) -> None:
        """Lets everything through again, what was held back first."""
        self._open.set()

    def close(self) -> None:
        """Takes no more connections."""
        self._open.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                far.connect(self._server)
            except (FileNotFoundError, ConnectionRefusedError):
                near.close()
                continue
            except OSError:
                return
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                self._open.wait()
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
