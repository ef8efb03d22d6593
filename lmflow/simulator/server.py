"""HTTP/1.1 listeners, one for each host on an address of its own, all on the same port."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping

from lmflow.simulator.failures import ConnectionDrop
from lmflow.simulator.http1 import HttpReply, HttpRequest, MalformedRequest, read_request, server_error, write_reply

Answer = Callable[[HttpRequest], HttpReply]
_BACKLOG = 128
_TRIES = 100


class Listener:
    """The listener of one host; while it is down its port stays reserved and connections are refused."""

    def __init__(self, host_ref: str, address: str, answer: Answer, tls: ssl.SSLContext | None) -> None:
        self.host_ref = host_ref
        self.address = address
        self._answer = answer
        self._tls = tls
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Event] = {}
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    def bind(self, port: int) -> None:
        """Reserve the port without listening; OSError when it is taken."""
        reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind((self.address, port))
        except OSError:
            reserved.close()
            raise
        self._socket = reserved
        self.port = reserved.getsockname()[1]

    def listen(self) -> None:
        """Accept connections from now on; nothing happens when it does so already."""
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
        """Refuse connections and drop those that are open, without reply; ``reserve`` keeps the port."""
        with self._lock:
            old, self._socket = self._socket, None
            thread, self._thread = self._thread, None
            if old is not None:
                with contextlib.suppress(OSError):
                    old.shutdown(socket.SHUT_RDWR)
                old.close()
        if thread is not None:
            thread.join()
        self._drop_connections()
        if reserve and old is not None:
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
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        dropped = threading.Event()
        with self._lock:
            if self._thread is None:
                raw.close()
                return
            self._connections[raw] = dropped
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        for connection in mine:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _converse(self, connection: socket.socket, dropped: threading.Event) -> None:
        with connection.makefile("rb") as stream:
            keep = True
            while keep and not dropped.is_set():
                try:
                    request = read_request(stream, self.host_ref, dropped)
                except MalformedRequest as problem:
                    connection.sendall(write_reply(server_error(str(problem)), "HTTP/1.1"))
                    return
                if request is None:
                    return
                reply = self._answer(request)
                if dropped.is_set():
                    return
                keep = request.keep_alive and not reply.close
                connection.sendall(write_reply(reply, request.version, keep_alive=keep, method=request.method))
                if reply.sent is not None:
                    reply.sent()


class Server:
    """The listeners of all hosts."""

    def __init__(self) -> None:
        self.port = 0
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
            listeners = {ref: Listener(ref, address, answer, tls.get(ref)) for ref, address in addresses.items()}
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
        if host_ref in self._listeners:
            self._listeners[host_ref].close(reserve=True)

    def bring_up(self, host_ref: str) -> None:
        """Open a host's listener again."""
        if host_ref in self._listeners:
            self._listeners[host_ref].listen()

    def is_up(self, host_ref: str) -> bool:
        """Tell whether a host's listener accepts connections."""
        return host_ref in self._listeners and self._listeners[host_ref].is_up

    def stop(self) -> None:
        """Close everything."""
        for listener in self._listeners.values():
            listener.close(reserve=False)
        self._listeners = {}
