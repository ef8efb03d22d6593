"""Gets what others have written from its registries, unmodified, into ``build/foreign``, once; and runs it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

HERE = Path(__file__).resolve().parent
STORE = HERE.parents[2] / "build" / "foreign"
COLLECTION = "ansible_collections/community/general/"
INSTALL_SECONDS = 150.0
RUN_SECONDS = 60.0


def find_xen_orchestra() -> Path:
    """Return the directory that holds ``xen-api`` in its node_modules, as package-lock.json has it."""
    return _ensure("xen-orchestra", HERE / "package-lock.json", _install_from_npm)


def find_collections() -> Path:
    """Return what ANSIBLE_COLLECTIONS_PATH has to name: ``community.general``, as ansible.txt has it."""
    return _ensure("collections", HERE / "ansible.txt", _unpack_from_pypi)


def _ensure(name: str, lock_file: Path, install: Callable[[Path], None]) -> Path:
    """Return a directory that only a finished installation can have brought there."""
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()[:12]
    wanted = STORE / f"{name}-{digest}"
    STORE.mkdir(parents=True, exist_ok=True)
    with _only_one(STORE / f"{name}.lock"):
        if not wanted.exists():
            with tempfile.TemporaryDirectory(dir=STORE, prefix=f"{name}-") as made:
                unfinished = Path(made, "made")
                unfinished.mkdir()
                install(unfinished)
                unfinished.rename(wanted)
    return wanted


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # the workers of a test run ask at once; closing it lets go
        yield


def _install_from_npm(directory: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, directory)
    _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=directory)


def _unpack_from_pypi(directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory.parent) as downloads:
        required = ("--no-deps", "--require-hashes", "-r", str(HERE / "ansible.txt"))
        _run(sys.executable, "-m", "pip", "download", "-q", *required, cwd=Path(downloads))
        (wheel,) = Path(downloads).iterdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(directory, [n for n in archive.namelist() if n.startswith(COLLECTION)])


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}"


@dataclasses.dataclass(frozen=True)
class Desk:
    """Where somebody runs foreign programs against a pool, with nothing of lmflow in reach of them but the network."""

    scene: Scene
    pool: SimulatedPool

    def url(self, host: str = "") -> str:
        """Return the URL of a host by its name, of the coordinator without one."""
        address = self.pool.ready["hosts"][host] if host else self.pool.ready["coordinator"]
        return f"{self.pool.ready['scheme']}://{address}:{self.pool.ready['port']}"

    def credentials(self) -> tuple[str, str]:
        return str(self.pool.ready["username"]), str(self.pool.ready["password"])

    def start_program(self, name: str, *arguments: str, host: str = "") -> Program:
        """Start one of the Python programs; ``host`` is whom it talks to first."""
        path = HERE / "programs" / f"{name}.py"
        return Program(self, name, [sys.executable, str(path), self.url(host), *self.credentials(), *arguments])

    def run_program(self, name: str, *arguments: str, host: str = "") -> list[str]:
        """Run one of the Python programs to its good end, and return the lines that it printed."""
        return self.start_program(name, *arguments, host=host).read_all()


class Program:
    """A running program; its output goes to files, so that it can be read while it runs."""

    def __init__(self, desk: Desk, name: str, command: list[str], **variables: str) -> None:
        directory = Path(tempfile.mkdtemp(dir=desk.scene.directory, prefix=f"{name}-"))
        self.name, self.out, self.err = name, directory / "stdout", directory / "stderr"
        environment = {**desk.scene.environment(), **variables}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=directory, env=environment, text=True
            )
        desk.scene.children.append(self.process)  # which ends what a failed test leaves

    def read(self) -> list[str]:
        """Return the lines printed so far."""
        return self.out.read_text(encoding="utf-8").splitlines()

    def wait_for(self, line: str) -> None:
        """Wait until the program has printed this line."""
        limit = time.monotonic() + RUN_SECONDS
        while line not in self.read():
            assert self.process.poll() is None, f"{self.name} ended: {self.read()} {self.err.read_text()}"
            assert time.monotonic() < limit, f"{self.name} never said {line!r}: {self.read()}"
            time.sleep(0.02)

    def read_all(self, code: int = 0) -> list[str]:
        """Wait for the end, with this exit code and nothing on stderr, and return the lines printed."""
        try:
            ended = self.process.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} took too long: {self.read()} {self.err.read_text()}") from None
        errors = self.err.read_text(encoding="utf-8")
        assert (ended, errors) == (code, ""), f"{self.name}: exit {ended}: {self.read()}\n{errors}"
        return self.read()
