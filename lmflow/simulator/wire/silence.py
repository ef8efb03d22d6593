"""A port of a host without power: a connection to it is neither accepted nor refused."""

from __future__ import annotations

import contextlib
import socket


class SilentPort:
    """Holds a port so that the kernel drops whoever knocks: its queue of one is full, and nobody empties it.

    Linux drops the first packet of a connection when the queue of a listening socket is full.
    """

    def __init__(self, address: str, port: int) -> None:
        self._listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind((address, port))
        self._listening.listen(0)
        # It does not wait for an answer: somebody else may have taken the one place meanwhile.
        self._guest = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._guest.setblocking(False)
        self._guest.connect_ex((address, port))

    def close(self) -> None:
        """Give the port back."""
        for held in (self._guest, self._listening):
            with contextlib.suppress(OSError):
                held.close()
