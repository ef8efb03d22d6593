"""HTTP/1.1 listeners, one for each host on an address of its own, all on the same port."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping

from lmflow.simulator.failures import ConnectionDrop
from lmflow.simulator.wire.http1 import HttpReply, HttpRequest, RefusedRequest, write_reply
from lmflow.simulator.wire.http_reader import Limits, RequestReader
from lmflow.simulator.wire.silence import SilentPort

Answer = Callable[[HttpRequest], HttpReply]
_BACKLOG = 128
_TRIES = 100
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 1 << 20


class Listener:
    """The listener of one host; while it is down its port stays reserved and connections are refused."""

    def __init__(self, host_ref: str, address: str, answer: Answer, tls: ssl.SSLContext | None, limits: Limits) -> None:
        self.host_ref = host_ref
        self.address = address
        self._answer = answer
        self._tls = tls
        self._limits = limits
        self._places = threading.Condition()
        self._taken = 0
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Event] = {}
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._silent: SilentPort | None = None
        self._mute: list[socket.socket] = []
        self._has_ended = False
        self.port = 0

    def bind(self, port: int) -> None:
        """Reserve the port without listening, unless it was given back for good; OSError when it is taken."""
        reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind((self.address, port))
        except OSError:
            reserved.close()
            raise
        with self._lock:
            if self._has_ended:
                reserved.close()
                return
            self._socket = reserved
            self.port = reserved.getsockname()[1]

    def listen(self) -> None:
        """Accept connections from now on; nothing happens when it does so already."""
        self._end_silence(reserve=True)
        with self._lock:
            if self._thread is not None or self._socket is None:
                return
            self._socket.listen(_BACKLOG)
            self._thread = threading.Thread(target=self._accept, args=(self._socket,), daemon=True)
            self._thread.start()

    @property
    def is_up(self) -> bool:
        """Whether connections are accepted."""
        return self._thread is not None

    def close(self, *, reserve: bool) -> None:
        """Refuse connections and drop those that are open, without reply; ``reserve`` keeps the port.

        Without it this is the end: whoever brings the listener down or up at the same time does nothing any more.
        """
        self._end_silence(reserve=reserve)
        with self._lock:
            self._has_ended = self._has_ended or not reserve
            had_port = self._socket is not None
            thread = self._stop_accepting()
        self._join(thread)
        self._drop_connections()
        if reserve and had_port:
            self.bind(self.port)

    def _stop_accepting(self) -> threading.Thread | None:
        """Close the socket, the lock held; returns the thread that accepted, to be joined without it."""
        old, self._socket = self._socket, None
        thread, self._thread = self._thread, None
        if old is not None:
            with contextlib.suppress(OSError):
                old.shutdown(socket.SHUT_RDWR)
            old.close()
        return thread

    def _join(self, thread: threading.Thread | None) -> None:
        """Wake whoever waits for a place, and wait for the end of the thread that accepted."""
        with self._places:
            self._places.notify_all()
        if thread is not None:
            thread.join()

    def fall_silent(self) -> None:
        """Answer nothing any more, as a host without power: open connections stay open, new ones do not come about.

        It ends with ``close`` or ``listen``; what was open is dropped then.
        """
        with self._lock:
            is_over = self._silent is not None or self._has_ended
            if is_over:
                return
            for connection, dropped in self._connections.items():
                self._mute.append(connection)
                dropped.set()
            thread = self._stop_accepting()
        self._join(thread)
        silent = SilentPort(self.address, self.port)
        with self._lock:
            if not self._has_ended:
                self._silent = silent
                return
        silent.close()

    def _end_silence(self, *, reserve: bool) -> None:
        with self._lock:
            silent, self._silent = self._silent, None
            mute, self._mute = self._mute, []
        if silent is None:
            return
        silent.close()
        for connection in mute:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        if reserve:
            self.bind(self.port)

    def _drop_connections(self) -> None:
        with self._lock:
            connections = dict(self._connections)
        for connection, dropped in connections.items():
            dropped.set()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if not self._take_place(listening):
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), name="connection", daemon=True).start()

    def _take_place(self, listening: socket.socket) -> bool:
        """Wait until there are fewer connections than the limit, as XAPI does; False once the listener is down."""
        with self._places:
            self._places.wait_for(lambda: self._taken < self._limits.connections or listening.fileno() < 0)
            is_up = listening.fileno() >= 0
            self._taken += is_up
            return is_up

    def _leave_place(self) -> None:
        with self._places:
            self._taken -= 1
            self._places.notify_all()

    def _serve(self, raw: socket.socket) -> None:
        try:
            self._serve_connection(raw)
        finally:
            self._leave_place()

    def _serve_connection(self, raw: socket.socket) -> None:
        dropped = threading.Event()
        with self._lock:
            if self._thread is None:
                raw.close()
                return
            self._connections[raw] = dropped
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(self._limits.header_total_seconds)
            connection = self._tls.wrap_socket(raw, server_side=True) if self._tls else raw
            with self._lock:
                self._connections[connection] = dropped
            self._converse(connection, dropped)
        except (OSError, ConnectionDrop):
            pass  # the client went away, or the connection is to be dropped without a reply
        finally:
            self._forget(dropped)

    def _forget(self, dropped: threading.Event) -> None:
        with self._lock:
            mine = [connection for connection, event in self._connections.items() if event is dropped]
            for connection in mine:
                del self._connections[connection]
            mute = {id(connection) for connection in self._mute}
        for connection in mine:
            if id(connection) in mute:
                continue
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _converse(self, connection: socket.socket, dropped: threading.Event) -> None:
        reader = RequestReader(connection, self._limits, self.host_ref, dropped)
        while not dropped.is_set():
            try:
                request = reader.read()
            except RefusedRequest as refused:
                if dropped.is_set():
                    return
                connection.sendall(write_reply(refused.reply, refused.version))
                _linger(connection)
                return
            if request is None or dropped.is_set():
                return
            reply = self._answer(request)
            if dropped.is_set():
                return
            keep = request.keep_alive and not reply.close
            data = write_reply(reply, request.version, keep_alive=keep)
            if reply.deliver is not None:
                reply.deliver(connection, data, dropped)
                return
            connection.sendall(data)
            if reply.sent is not None:
                reply.sent()
            if not keep:
                _linger(connection)
                return


def _linger(connection: socket.socket) -> None:
    """End our side and read a little of what the client still sends: unread bytes would reset the connection.

    A reset could overtake the reply, and the client would never see why it was refused.
    """
    deadline, size = time.monotonic() + _LINGER_SECONDS, 0
    connection.shutdown(socket.SHUT_WR)
    while size < _LINGER_BYTES and (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        part = connection.recv(65_536)
        if not part:
            return
        size += len(part)


class Server:
    """The listeners of all hosts."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.port = 0
        self.limits = limits or Limits()
        self._listeners: dict[str, Listener] = {}

    def start(
        self,
        addresses: Mapping[str, str],
        port: int,
        answer: Answer,
        contexts: Mapping[str, ssl.SSLContext] | None = None,
    ) -> None:
        """Listen for each host (reference -> address) on one port, a free one for 0. OSError when there is none."""
        tls = contexts or {}
        for attempt in range(_TRIES):
            listeners = {
                ref: Listener(ref, address, answer, tls.get(ref), self.limits) for ref, address in addresses.items()
            }
            try:
                chosen = port
                for listener in listeners.values():
                    listener.bind(chosen)
                    chosen = listener.port
            except OSError:
                for listener in listeners.values():
                    listener.close(reserve=False)
                if port or attempt == _TRIES - 1:
                    raise
                continue
            self._listeners = listeners
            self.port = chosen
            break
        for listener in self._listeners.values():
            listener.listen()

    def take_down(self, host_ref: str) -> None:
        """Close a host's listener: connections are refused, open ones dropped without a reply."""
        if (listener := self._listeners.get(host_ref)) is not None:
            listener.close(reserve=True)

    def fall_silent(self, host_ref: str) -> None:
        """Let a host's listener answer nothing any more, not even with a refusal."""
        if (listener := self._listeners.get(host_ref)) is not None:
            listener.fall_silent()

    def bring_up(self, host_ref: str) -> None:
        """Open a host's listener again."""
        if (listener := self._listeners.get(host_ref)) is not None:
            listener.listen()

    def is_up(self, host_ref: str) -> bool:
        """Tell whether a host's listener accepts connections."""
        listener = self._listeners.get(host_ref)
        return listener is not None and listener.is_up

    def stop(self) -> None:
        """Close everything."""
        for listener in self._listeners.values():
            listener.close(reserve=False)
        self._listeners = {}
