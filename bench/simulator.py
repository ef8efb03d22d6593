"""What the simulated pool costs: ratios to a bare asyncio HTTP server that sends the same bytes, in one run.

The pools and the bare server are processes of their own; this one only sends and counts bytes on plain sockets, and
parses nothing while a clock runs. Requests to the pool and to the bare server take turns in batches, so that a busy
machine is slow for both. Rates by themselves depend on the machine; the load is written beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds.world import World
from lmflow.simulator.worlds.world_generator import make_big_world

HOSTS, VMS = 64, 5_000
CONNECTIONS = 200
MOVERS = 2_000
MIGRATION_SCALE = 1_000.0
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)
_HERE = Path(__file__).resolve()


# -- the processes that are measured


def serve_pool(hosts: int, vms: int, time_scale: float) -> None:
    """Serve a generated pool until standard input ends; the first line of output says where."""
    began = time.perf_counter()
    pool = SimulatedPool(Options(time_scale=time_scale), world=World(make_big_world(hosts, vms)))
    built = time.perf_counter() - began
    with pool:
        told = {**pool.describe(), "pid": os.getpid(), "build_seconds": built}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def serve_bytes(path: str) -> None:
    """Answer every request with the bytes of a file until standard input ends."""
    reply = Path(path).read_bytes()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = _LENGTH.search(head)
                await reader.readexactly(int(found.group(1)) if found else 0)
                writer.write(reply)
                await writer.drain()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)  # connections may still be open; nothing is to be ended in order

    asyncio.run(serve())


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[dict[str, Any]]:
    """Run this file as a server and give what it said first."""
    command = [sys.executable, str(_HERE), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:  # noqa: S603 - our own
        line = running.stdout.readline() if running.stdout else b""
        if not line:
            raise SystemExit(f"{' '.join(command)} ended with {running.wait()}")
        # Leaving the block closes standard input, which ends the process.
        yield json.loads(line)


# -- a client that is not the limit


def make_request(method: str, *params: Any) -> bytes:
    """Write a whole request of one call."""
    body = xmlrpc.client.dumps(params, method).encode()
    return b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Connection:
    """A kept-alive connection; replies are counted, not looked at."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(1 << 22))

    def ask(self, request: bytes) -> int:
        """Send a request and give the size of the whole reply."""
        self.socket.sendall(request)
        return self.read()

    def read(self) -> int:
        """Read one reply and give its size."""
        size = self.socket.recv_into(self._buffer)
        head = bytes(self._buffer[: min(size, 1024)])
        found, end = _LENGTH.search(head), head.find(b"\r\n\r\n")
        if found is None or end < 0 or b" 200 OK" not in head[:20]:
            raise SystemExit(f"no reply that can be read: {head[:200]!r}")
        whole = end + 4 + int(found.group(1))
        while size < whole:
            size += self.socket.recv_into(self._buffer)
        return whole

    def fetch(self, request: bytes) -> bytes:
        """Send a request and give the reply's bytes, for a look outside of what is timed."""
        self.socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data or len(data) < _whole(data):
            data += self.socket.recv(1 << 20)
        return data

    def call(self, method: str, *params: Any) -> Any:
        """Call, parse, and give the value; outside of what is timed."""
        body = self.fetch(make_request(method, *params)).partition(b"\r\n\r\n")[2]
        (reply,), _ = xmlrpc.client.loads(body)
        if not isinstance(reply, dict) or reply["Status"] != "Success":
            raise SystemExit(f"{method}: {reply}")
        return reply["Value"]


def _whole(data: bytes) -> int:
    found = _LENGTH.search(data)
    return data.find(b"\r\n\r\n") + 4 + int(found.group(1) if found else 0)


def log_in(told: dict[str, Any]) -> tuple[Connection, str]:
    """Connect to a pool and log in."""
    connection = Connection(told["port"])
    return connection, connection.call("session.login_with_password", told["username"], told["password"], "1.0", "b")


def time_batches(asks: dict[str, Callable[[], None]], rounds: int, size: int) -> dict[str, list[float]]:
    """Give the seconds of one request, for each batch; the subjects take turns, and the first round is dropped."""
    seconds: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(rounds + 1):
        for name, ask in asks.items():
            began = time.perf_counter()
            for _ in range(size):
                ask()
            if number:
                seconds[name].append((time.perf_counter() - began) / size)
    return seconds


def memory_bytes(pid: int) -> tuple[int, int]:
    """Give a process's resident memory, now and at its highest."""
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    now, most = (re.search(rf"{name}:\s+(\d+) kB", text) for name in ("VmRSS", "VmHWM"))
    return (int(now.group(1)) * 1024 if now else 0), (int(most.group(1)) * 1024 if most else 0)


# -- what is measured


def measure_record(told: dict[str, Any], rounds: int, directory: Path) -> dict[str, Any]:
    """Compare ``VM.get_record`` with the bare server that sends the same reply."""
    connection, session = log_in(told)
    refs = connection.call("VM.get_all", session)
    request = make_request("VM.get_record", session, refs[-1])
    path = directory / "reply"
    path.write_bytes(connection.fetch(request))
    with process("bytes", str(path)) as bare:
        other = Connection(bare["port"])
        asks: dict[str, Callable[[], None]] = {
            "echo": lambda: _same_size(other.ask(request), path),
            "get_record": lambda: _same_size(connection.ask(request), path),
        }
        taken = time_batches(asks, rounds, 500)
    echo, pool = statistics.median(taken["echo"]), statistics.median(taken["get_record"])
    return {
        "bytes": path.stat().st_size,
        "echo_us": round(echo * 1e6),
        "get_record_us": round(pool * 1e6),
        "ratio": round(pool / echo, 2),
        "goal": 5,
    }


def _same_size(size: int, path: Path) -> None:
    if size != _SIZES.setdefault(path, path.stat().st_size):
        raise SystemExit(f"a reply of {size} bytes where {_SIZES[path]} were expected")


_SIZES: dict[Path, int] = {}


def measure_all_records(told: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Time ``VM.get_all_records``: the first reading, when nothing is encoded yet, and the later ones."""
    connection, session = log_in(told)
    request = make_request("VM.get_all_records", session)
    seconds, size = [], 0
    for _ in range(rounds + 1):
        began = time.perf_counter()
        size = connection.ask(request)
        seconds.append(time.perf_counter() - began)
    now, most = memory_bytes(told["pid"])
    return {
        "mb": round(size / 1e6, 1),
        "first_mb_per_second": round(size / seconds[0] / 1e6),
        "mb_per_second": round(size / statistics.median(seconds[1:]) / 1e6),
        "goal_mb_per_second": 60,
        "memory_mb": round(now / 1e6),
        "highest_memory_mb": round(most / 1e6),
        "goal_memory_mb": 600,
    }


def measure_parallel(told: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Keep a request under way on each of many connections at once."""
    connection, session = log_in(told)
    request = make_request("VM.get_record", session, connection.call("VM.get_all", session)[-1])
    connections = [Connection(told["port"]) for _ in range(CONNECTIONS)]
    selector = selectors.DefaultSelector()
    for each in connections:
        selector.register(each.socket, selectors.EVENT_READ, each)
    began = time.perf_counter()
    for _ in range(rounds):
        for each in connections:
            each.socket.sendall(request)
        waiting = len(connections)
        while waiting:
            for key, _events in selector.select(60):
                key.data.read()
                waiting -= 1
    taken = time.perf_counter() - began
    calls = CONNECTIONS * rounds
    return {"connections": CONNECTIONS, "calls": calls, "calls_per_second": round(calls / taken)}


def measure_migrations(told: dict[str, Any]) -> dict[str, Any]:
    """Let many VMs move to the next host at once, and count how many of them arrive in a minute; some are refused."""
    connection, session = log_in(told)
    hosts = connection.call("host.get_all", session)
    vms = connection.call("VM.get_all_records", session)
    moving = [ref for ref, vm in vms.items() if vm["power_state"] == "Running" and not vm["is_control_domain"]]
    wanted = {ref: hosts[(hosts.index(vms[ref]["resident_on"]) + 1) % len(hosts)] for ref in moving}
    pending = make_request("task.get_all_records_where", session, 'field "status" = "pending"')
    began = time.perf_counter()
    for ref, host in wanted.items():
        connection.ask(make_request("Async.VM.pool_migrate", session, ref, host, {"live": "true"}))
    submitted = time.perf_counter() - began
    while b"OpaqueRef" in connection.fetch(pending):
        time.sleep(0.1)
    taken = time.perf_counter() - began
    after = connection.call("VM.get_all_records", session)
    arrived = sum(after[ref]["resident_on"] == host for ref, host in wanted.items())
    return {
        "time_scale": MIGRATION_SCALE,
        "submitted": len(wanted),
        "submit_seconds": round(submitted, 1),
        "seconds": round(taken, 1),
        "arrived": arrived,
        "refused": len(wanted) - arrived,
        "per_minute": round(arrived / taken * 60),
        "goal_per_minute": 1_000,
    }


def measure(hosts: int, vms: int, rounds: int, directory: Path) -> dict[str, Any]:
    """Measure everything, on two pools."""
    results: dict[str, Any] = {}
    with process("pool", str(hosts), str(vms), "30") as told:
        results["world"] = {"hosts": hosts, "vms": vms, "build_seconds": round(told["build_seconds"], 1)}
        results["get_all_records"] = measure_all_records(told, max(3, rounds // 3))
        results["get_record"] = measure_record(told, rounds, directory)
        results["parallel"] = measure_parallel(told, rounds)
    with process("pool", str(hosts), str(MOVERS), str(MIGRATION_SCALE)) as told:
        results["migrations"] = measure_migrations(told)
    return results


def main() -> None:
    """Measure, print the results and write JSON; with ``pool`` or ``bytes`` be one of the measured processes."""
    parser = argparse.ArgumentParser(description="Measure what the simulated pool costs.")
    parser.add_argument("--rounds", type=int, default=15, help="default 15")
    parser.add_argument("--hosts", type=int, default=HOSTS, help=f"default {HOSTS}")
    parser.add_argument("--vms", type=int, default=VMS, help=f"default {VMS}")
    parser.add_argument("--json", type=Path, default=Path("bench/simulator.json"), metavar="FILE", help="where it goes")
    parser.add_argument("serve", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        kind, *values = options.serve
        serve_bytes(values[0]) if kind == "bytes" else serve_pool(int(values[0]), int(values[1]), float(values[2]))
        return
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        results = measure(options.hosts, options.vms, options.rounds, Path(directory))
    load = [round(each, 1) for each in (before, os.getloadavg()[0])]
    told = {"python": platform.python_version(), "rounds": options.rounds, "load": load, "results": results}
    options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"load {load[0]} before, {load[1]} after; {options.rounds} rounds\n")
    for name, found in results.items():
        sys.stdout.write(f"{name}: {', '.join(f'{key} {value}' for key, value in found.items())}\n")


if __name__ == "__main__":
    main()
