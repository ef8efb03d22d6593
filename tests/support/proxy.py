"""A TCP proxy that tests put before a pool or a database server, to lose, hold back or silence what passes.

``up`` is towards the server, ``down`` back to the client. The directions of all connections are ruled together
(``hold``, ``swallow``, ``flow``), also of those that come later; ``when`` does something to the one connection in which
a text passes, before it passes: the way to lose one reply, or to hold one request back past a takeover.

    with put_before(pool) as proxy:
        scene.write_config(lab={"addresses": proxy.address})
        proxy.when("up", b"Async.VM.pool_migrate", lambda link: link.hold("up"))
        ...                                       # the request is in the proxy, no byte of it went on
        proxy.links[-1].flow("up")                # now it goes

An address of its own with the port of the pool lets a profile name the proxy like a host of the pool. What a member
answers about its coordinator (HOST_IS_SLAVE) still names the coordinator itself, and so do replies of the pool.
A silence of both directions is ``silence(seconds)``: everything is held and goes on afterwards, in order.
A half-open connection is ``swallow("up")`` or ``swallow("down")``: bytes and ends are taken and dropped, unheard.
A lost reply is ``when("up", request, lambda link: link.when("down", b"HTTP/", Link.cut))``: done there, unheard here.
Texts can be found only where no TLS hides them, and within ``WINDOW`` bytes when they come in pieces. What has come
before the piece with the text's end, such as the headers of a request, has gone on. The reset of one side arrives
as a plain end.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Literal, Self

from tests.support.pool import SimulatedPool

Direction = Literal["up", "down"]
Mode = Literal["flow", "hold", "swallow"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")
WINDOW = 4096
_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)


class Link:
    """One connection. ``passed`` and ``swallowed`` count bytes by direction, ``held`` those that wait."""

    def __init__(self, proxy: Proxy, number: int, client: socket.socket, server: socket.socket) -> None:
        self.number = number
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        self.swallowed: dict[Direction, int] = {"up": 0, "down": 0}
        self.held: dict[Direction, int] = {"up": 0, "down": 0}
        self.is_open = True
        self._proxy = proxy
        self._ends: dict[Direction, tuple[socket.socket, socket.socket]] = {
            "up": (client, server),
            "down": (server, client),
        }
        self._modes: dict[Direction, Mode] = {}
        self._tails: dict[Direction, bytes] = {"up": b"", "down": b""}
        self._ended = 0

    def hold(self, *directions: Direction) -> None:
        """Keep what comes from now on; no direction means both. It is kept until ``flow`` or ``cut``."""
        self._set("hold", directions)

    def swallow(self, *directions: Direction) -> None:
        """Take and drop what comes from now on, and what is held, without a word to either side."""
        self._set("swallow", directions)

    def flow(self, *directions: Direction) -> None:
        """Let what is held go on, in order, and everything after it."""
        self._set("flow", directions)

    def cut(self) -> None:
        """Reset both sides; what is held never arrives."""
        with self._proxy.changed:
            self.is_open = False
            for end in self._ends["up"]:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                # Only this wakes the threads that read; the reset goes out when they close.
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RD)
            self._proxy.changed.notify_all()

    def when(self, direction: Direction, text: bytes, act: Callable[[Link], object]) -> None:
        """Do something when a text passes in this connection, once; see ``Proxy.when``."""
        self._proxy.watch(self, direction, text, act)

    def mode(self, direction: Direction) -> Mode:
        """Return what is done with a direction: what was said of this connection, else of all."""
        return self._modes.get(direction) or self._proxy.modes[direction]

    def start(self) -> list[threading.Thread]:
        """Start to carry bytes; returns the threads that do."""
        threads = [threading.Thread(target=self._pump, args=(each,), daemon=True) for each in DIRECTIONS]
        for thread in threads:
            thread.start()
        return threads

    def _set(self, mode: Mode, directions: tuple[Direction, ...]) -> None:
        with self._proxy.changed:
            self._modes |= dict.fromkeys(directions or DIRECTIONS, mode)
            self._proxy.changed.notify_all()

    def _pump(self, direction: Direction) -> None:
        source, sink = self._ends[direction]
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._look(direction, data)
                if self._admit(direction, len(data)):
                    sink.sendall(data)
                    self._count(self.passed, direction, len(data))
        if self.is_open and self._admit(direction, 0):
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        self._end()

    def _look(self, direction: Direction, data: bytes) -> None:
        seen = self._tails[direction] + data
        self._proxy.notice(self, direction, seen, len(self._tails[direction]))
        self._tails[direction] = seen[-WINDOW:]

    def _admit(self, direction: Direction, size: int) -> bool:
        """Wait while the direction is held; False when its bytes are to be dropped."""
        with self._proxy.changed:
            self.held[direction] += size
            self._proxy.changed.notify_all()
            self._proxy.changed.wait_for(lambda: not self.is_open or self.mode(direction) != "hold")
            self.held[direction] -= size
            if self.is_open and self.mode(direction) == "flow":
                return True
            self.swallowed[direction] += size
            return False

    def _count(self, counter: dict[Direction, int], direction: Direction, size: int) -> None:
        with self._proxy.changed:
            counter[direction] += size
            self._proxy.changed.notify_all()

    def _end(self) -> None:
        """Close both sockets when both directions have ended; one end that was swallowed ends nothing."""
        with self._proxy.changed:
            self._ended += 1
            if self._ended < len(DIRECTIONS):
                return
            self.is_open = False
            self._proxy.changed.notify_all()
        for end in self._ends["up"]:
            end.close()


def put_before(pool: SimulatedPool) -> Proxy:
    """Return a proxy before a pool's coordinator, on an address of its own with the pool's port."""
    port = int(pool.ready["port"])
    return Proxy((str(pool.ready["coordinator"]), port), address="127.77.7.7", port=port)


class Proxy:
    """Listens on an address and carries each connection to ``target``; context manager.

    ``links`` are all connections so far, ``refused`` counts those whose target could not be reached.
    """

    def __init__(self, target: tuple[str, int], *, address: str = "127.0.0.1", port: int = 0) -> None:
        self.target = target
        self.changed = threading.Condition(threading.RLock())
        self.modes: dict[Direction, Mode] = {"up": "flow", "down": "flow"}
        self.links: list[Link] = []
        self.refused = 0
        self._watches: list[tuple[Link | None, Direction, bytes, Callable[[Link], object]]] = []
        self._threads: list[threading.Thread] = []
        self._timers: list[threading.Timer] = []
        self.address, self.port = address, port
        self._listener: socket.socket | None = None
        self.accept()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def held(self, direction: Direction) -> int:
        """Return how many bytes wait in the proxy."""
        return sum(link.held[direction] for link in self.links)

    def swallowed(self, direction: Direction) -> int:
        """Return how many bytes were dropped so far."""
        return sum(link.swallowed[direction] for link in self.links)

    def hold(self, *directions: Direction) -> None:
        """Hold every connection, also later ones, until ``flow``; see ``Link.hold``."""
        self._rule("hold", directions)

    def swallow(self, *directions: Direction) -> None:
        """Make every connection half-open; see ``Link.swallow``."""
        self._rule("swallow", directions)

    def flow(self, *directions: Direction) -> None:
        """Let everything go on; what was said of single connections is forgotten."""
        self._rule("flow", directions)

    def silence(self, seconds: float) -> None:
        """Hold everything for so long, then let it go on; returns at once."""
        self.hold()
        timer = threading.Timer(seconds, self.flow)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def cut(self) -> None:
        """Reset every open connection; new ones are still accepted."""
        for link in list(self.links):
            link.cut()

    def refuse(self) -> None:
        """Let nobody connect any more (connection refused), until ``accept``; open connections stay as they are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def accept(self) -> None:
        """Listen, on the same port as before."""
        if self._listener is None:
            self._listener = socket.create_server((self.address, self.port), backlog=64)
            self.port = self._listener.getsockname()[1]
            self._spawn(self._serve, self._listener)

    def when(self, direction: Direction, text: bytes, act: Callable[[Link], object], *, times: int = 1) -> None:
        """Do something to the connection in which a text passes, before it does; so often.

        All else in the proxy stands still meanwhile: ``act`` must not wait for anything.
        """
        for _ in range(times):
            self.watch(None, direction, text, act)

    def watch(self, link: Link | None, direction: Direction, text: bytes, act: Callable[[Link], object]) -> None:
        """Keep what to do when a text passes in one link, or in any (None); for ``when``."""
        with self.changed:
            self._watches.append((link, direction, text, act))

    def wait_until(self, holds: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Wait until the counters, or what a test's ``act`` has noted, show something; fails when it does not come."""
        limit = time.monotonic() + seconds
        with self.changed:
            while not holds():  # a look now and then, for what nobody here is notified of
                assert time.monotonic() < limit, "what the test waits for did not pass the proxy"
                self.changed.wait(0.05)

    def notice(self, link: Link, direction: Direction, seen: bytes, known: int) -> None:
        """Do what was asked for when a text passes; for links. The first ``known`` bytes were looked at before."""
        with self.changed:
            for watch in list(self._watches):
                only, wanted, text, act = watch
                if only in (None, link) and wanted == direction and seen.find(text, max(0, known - len(text) + 1)) >= 0:
                    self._watches.remove(watch)
                    act(link)
                    break

    def close(self) -> None:
        """End the listener and every connection, and wait for the threads."""
        for timer in self._timers:
            timer.cancel()
        self.refuse()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def _rule(self, mode: Mode, directions: tuple[Direction, ...]) -> None:
        with self.changed:
            self.modes |= dict.fromkeys(directions or DIRECTIONS, mode)
            for link in self.links:
                for direction in directions or DIRECTIONS:
                    link._modes.pop(direction, None)
            self.changed.notify_all()

    def _spawn(self, work: Callable[[socket.socket], None], *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target, 10)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            with self.changed:
                self.refused += 1
                self.changed.notify_all()
            return
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.changed:
            link = Link(self, len(self.links), client, server)
            self.links.append(link)
            self._threads += link.start()
            self.changed.notify_all()
