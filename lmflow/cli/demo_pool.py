"""The demo's simulated pool: where it lives, how it is found, started and ended."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmflow.exceptions import ConfigurationError, LmflowError
from lmflow.models import PoolProfile, Tls, Waits

PROFILE = "lab"
TIME_SCALE = 30.0
IDLE_EXIT_SECONDS = 900
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


def make_waits(time_scale: float) -> Waits:
    """Derive every wait from how much faster than a real pool this one runs.

    A floor keeps what the machine itself needs: processes, commits and logins do not run faster.
    """
    real = Waits()

    def scaled(seconds: float, floor: float) -> float:
        return max(seconds / time_scale, floor)

    return Waits(
        settle_seconds=scaled(real.settle_seconds, 3.0),
        quiet_seconds=scaled(real.quiet_seconds, 0.1),
        operation_seconds=scaled(real.operation_seconds, 5.0),
        pool_seconds=scaled(real.pool_seconds, 10.0),
        deadline_seconds=scaled(real.deadline_seconds, 60.0),
        poll_seconds=scaled(real.poll_seconds, 0.05),
        # A time-out that is given to the pool: it counts its own, faster seconds.
        event_seconds=real.event_seconds,
        look_seconds=scaled(real.look_seconds, 1.0),
        park_seconds=scaled(real.park_seconds, 0.5),
        write_seconds=scaled(real.write_seconds, 0.05),
        lease_seconds=scaled(real.lease_seconds, 10.0),
        heartbeat_seconds=scaled(real.heartbeat_seconds, 2.0),
    )


@dataclasses.dataclass(frozen=True)
class DemoPool:
    """A demo pool that answers. ``ready`` is what the simulator wrote when it began to listen."""

    directory: Path
    ready: Mapping[str, Any] = dataclasses.field(repr=False)

    @property
    def database_url(self) -> str:
        """Where the runs of the demo are kept; it outlives the pool."""
        return f"sqlite:///{self.directory / 'lmflow.db'}"

    @property
    def pid(self) -> int:
        """The simulator's process."""
        return int(self.ready["pid"])

    @property
    def waits(self) -> Waits:
        """Every wait, scaled as the pool is."""
        return make_waits(float(self.ready["time_scale"]))

    def get_password(self, _profile: str) -> str:
        """Return the simulated root's password."""
        return str(self.ready["password"])

    def make_profile(self) -> PoolProfile:
        """Return the profile by which the demo pool is reached."""
        first = str(self.ready["coordinator"])
        others = (str(address) for address in self.ready["hosts"].values())
        digests = self.ready.get("certificate_sha256") or {}
        return PoolProfile(
            name=PROFILE,
            addresses=(first, *(address for address in others if address != first)),
            username=str(self.ready["username"]),
            scheme=str(self.ready["scheme"]),
            port=int(self.ready["port"]),
            tls=Tls(
                fingerprints={self.ready["hosts"][n]: d for n, d in digests.items()},
                ca_file=self.ready.get("ca_file") or "",
            ),
        )

    @property
    def config_file(self) -> Path:
        """A configuration that leads to this pool, whatever else is configured on this machine."""
        return self.directory / "lmflow.conf"

    def write_config(self) -> None:
        """Write the configuration, with the password in a file of its own."""
        profile, password_file = self.make_profile(), self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.get_password(PROFILE) + "\n", encoding="utf-8")
        lines = ["[DEFAULT]", f"default_pool = {PROFILE}", "[database]", f"connection = {self.database_url}", "[waits]"]
        lines += [f"{name} = {seconds}" for name, seconds in self.waits.to_json().items()]
        lines += [f"[pool:{PROFILE}]", f"addresses = {','.join(profile.addresses)}", f"username = {profile.username}"]
        lines += [f"scheme = {profile.scheme}", f"port = {profile.port}", f"password_file = {password_file}"]
        self.config_file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the simulator's control port; raises OSError when nobody answers."""
        return ask_control(int(self.ready["control_port"]), method, path, body)


def ask_control(port: int, method: str, path: str, body: Any = None) -> Any:
    """Send one JSON request to a control port of the simulator and return the JSON of the reply.

    OSError when nobody answers to the end, or the answer is a refusal.
    """
    import http.client  # noqa: PLC0415 - slow to import, and of use only where a demo pool runs

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    data = None if body is None else json.dumps(body)
    try:
        connection.request(method, path, data, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        text = reply.read().decode()
    except http.client.HTTPException as error:  # it ends just now
        raise OSError(f"{method} {path}: {type(error).__name__}") from error
    finally:
        connection.close()
    if reply.status >= 400:
        raise OSError(f"{method} {path}: {reply.status} {text}")
    return json.loads(text) if text else None


def get_directory() -> Path:
    """Return where the demo keeps its state."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "lmflow" / "demo"


def find_demo(directory: Path | None = None) -> DemoPool | None:
    """Return the demo pool if one is alive: its process exists as recorded and its control port answers."""
    directory = directory or get_directory()
    try:
        ready = json.loads((directory / "ready.json").read_text(encoding="utf-8"))
        pool = DemoPool(directory, ready)
        if not _is_alive(pool):
            return None
        pool.control("GET", "/hold")
    except (OSError, ValueError, KeyError):
        return None
    return pool


def start_demo(directory: Path | None = None, *, time_scale: float = TIME_SCALE) -> DemoPool:
    """Start the simulator as a detached process that ends by itself when idle, and wait until it listens.

    A pool that ended by itself goes on from its state; one that cannot (another version wrote it) begins anew.
    """
    directory = directory or get_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"the demo cannot keep its state in {directory}: {error.strerror}",
            advice="set XDG_STATE_HOME to a directory that can be written to",
        ) from error
    had_state = (directory / "state.json").exists()
    if not had_state:
        # A pool that begins anew knows nothing of the runs of the last one.
        _forget(directory)
    try:
        _start(directory, time_scale)
    except LmflowError:
        if not had_state:
            raise
        _forget(directory)
        _start(directory, time_scale)
    pool = find_demo(directory)
    if pool is None:
        raise LmflowError("the demo pool began to listen and then fell silent", advice=f"see {directory}/simulator.log")
    pool.write_config()
    return pool


def _start(directory: Path, time_scale: float) -> None:
    ready_file = directory / "ready.json"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "lmflow.simulator", "--world", PROFILE, "--time-scale", str(time_scale)]
    command += ["--control-port", "0"]
    command += ["--ready-file", str(ready_file), "--idle-exit", str(IDLE_EXIT_SECONDS)]
    command += ["--state", str(directory / "state.json")]
    with (directory / "simulator.log").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory, start_new_session=True
        )
    _wait_until_ready(child, ready_file, directory)
    process = {"pid": child.pid, "started": _read_start(child.pid)}
    (directory / "process.json").write_text(json.dumps(process), encoding="utf-8")
    # The pool outlives this process on purpose; Popen would warn of a child that still runs.
    child.returncode = 0


def _forget(directory: Path) -> None:
    for name in ("state.json", "lmflow.db", "lmflow.db-wal", "lmflow.db-shm"):
        (directory / name).unlink(missing_ok=True)


def _wait_until_ready(child: subprocess.Popen[bytes], ready_file: Path, directory: Path) -> None:
    limit = time.monotonic() + _START_SECONDS
    while not ready_file.exists():
        if child.poll() is not None:
            raise LmflowError(
                f"the demo pool ended at once (exit {child.returncode})", advice=f"see {directory}/simulator.log"
            )
        if time.monotonic() > limit:
            child.terminate()
            raise LmflowError("the demo pool did not come up in time", advice=f"see {directory}/simulator.log")
        time.sleep(0.02)


def stop_demo(directory: Path | None = None) -> bool:
    """End the demo pool, and only it, and forget its runs; False when none runs."""
    pool = find_demo(directory)
    if pool is None:
        return False
    pool.control("POST", "/stop", {})
    limit = time.monotonic() + _STOP_SECONDS
    while _is_alive(pool):
        if time.monotonic() > limit:
            # Still the process that we started, so says its start time: now it may be told by a signal.
            os.kill(pool.pid, signal.SIGTERM)
            break
        time.sleep(0.05)
    (pool.directory / "ready.json").unlink(missing_ok=True)
    _forget(pool.directory)
    return True


def _is_alive(pool: DemoPool) -> bool:
    """Tell whether the recorded process still runs; a start time that differs is somebody else with its number."""
    started = _read_start(pool.pid)
    if not started:
        return False
    try:
        recorded = json.loads((pool.directory / "process.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return bool(recorded["pid"] != pool.pid or recorded["started"] == started)


def _read_start(pid: int) -> str:
    """Return the start time of a process, '' when it is gone or a zombie (source: proc(5), stat fields 3 and 22)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
