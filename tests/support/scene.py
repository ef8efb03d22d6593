"""One test's world: its pools, the installed command with a configuration for them, and all that it leaves behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from lmflow.cli.demo_pool import make_waits
from lmflow.models import PoolProfile, Tls
from tests.support import nursery
from tests.support.pool import SimulatedPool, start_pool

Command = subprocess.Popen[str] | nursery.Child
TIME_SCALE = 100.0
COMMAND_SECONDS = 90.0
PARKING = "LMFLOW_TEST_PARK_SECONDS"
"""Names how long a wait may hold its thread: with 0 in it every test drives runs that park at each wait."""
_RUNS = "SELECT uuid, state, request FROM lmflow_runs ORDER BY created_at DESC"


@dataclasses.dataclass
class Scene:
    """Pools, configuration, database and every output below one temporary directory."""

    directory: Path
    pools: list[SimulatedPool] = dataclasses.field(default_factory=list)
    children: list[Command] = dataclasses.field(default_factory=list)
    waits: dict[str, float] = dataclasses.field(default_factory=dict)
    server_url: str = ""
    """A database on a server; without one it is an SQLite file below the directory."""

    @property
    def config_file(self) -> Path:
        return self.directory / "lmflow.conf"

    @property
    def database_file(self) -> Path:
        return self.directory / "database" / "lmflow.db"

    @property
    def database_url(self) -> str:
        return self.server_url or f"sqlite:///{self.database_file}"

    @property
    def outputs(self) -> Path:
        return self.directory / "outputs"

    def start(
        self, world: str | Path = "lab", *options: str, name: str = "lab", time_scale: float = TIME_SCALE
    ) -> SimulatedPool:
        """Start a pool, the profile ``name`` of the configuration; the first one is the default."""
        pool = start_pool(self.directory / f"pool-{name}", world, *options, name=name, time_scale=time_scale)
        pool.password_file = pool.directory / "password"
        pool.password_file.write_text(str(pool.ready["password"]) + "\n", encoding="utf-8")
        pool.password_file.chmod(0o600)
        self.pools.append(pool)
        self.write_config()
        return pool

    def profile(self, pool: SimulatedPool) -> PoolProfile:
        """Return the profile of a pool, for tests that drive the library or the SDK's side directly."""
        first = str(pool.ready["coordinator"])
        hosts, digests = pool.ready["hosts"], pool.ready.get("certificate_sha256") or {}
        others = (a for a in hosts.values() if a != first)
        return PoolProfile(
            name=pool.name,
            addresses=(first, *others),
            username=str(pool.ready["username"]),
            scheme=str(pool.ready["scheme"]),
            port=int(pool.ready["port"]),
            tls=Tls(
                fingerprints={hosts[name]: digest for name, digest in digests.items()},
                ca_file=pool.ready.get("ca_file") or "",
            ),
        )

    def write_config(self, **overrides: Mapping[str, Any]) -> Path:
        """Write lmflow.conf anew; ``overrides`` are options by pool name, on top of what reaches the pool."""
        self.database_file.parent.mkdir(exist_ok=True)
        lines = ["[DEFAULT]", f"default_pool = {self.pools[0].name}" if self.pools else ""]
        lines += ["[database]", f"connection = {self.database_url}"]
        waits = make_waits(self.pools[0].time_scale if self.pools else TIME_SCALE).to_json()
        parking = {"park_seconds": os.environ[PARKING]} if PARKING in os.environ else {}
        lines += ["[waits]", *(f"{key} = {value}" for key, value in {**waits, **parking, **self.waits}.items())]
        for pool in self.pools:
            lines += [f"[pool:{pool.name}]", *_describe(self.profile(pool), pool, overrides.get(pool.name, {}))]
        self.config_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return self.config_file

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands: nothing of the person who runs the tests."""
        kept = {
            key: os.environ[key]
            for key in ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "COVERAGE_RCFILE")
            if key in os.environ
        }
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        return {
            **kept,
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "LMFLOW_CONFIG_FILE": str(self.config_file),
            "COLUMNS": "80",
        }

    def popen(self, *args: str, env: Mapping[str, str] | None = None, fresh: bool = False, **kwargs: Any) -> Command:
        """Start the command and return at once; its output goes to files in ``outputs`` (see ``read_output``).

        It is forked from an interpreter that has imported it, unless it has to be ``fresh`` or needs more of Popen.
        """
        self.outputs.mkdir(exist_ok=True)
        number = len(self.children)
        out = (self.outputs / f"{number:03}.stdout").open("w", encoding="utf-8")
        err = (self.outputs / f"{number:03}.stderr").open("w", encoding="utf-8")
        environment = {**self.environment(), **(env or {})}
        child: Command
        with out, err:
            if fresh or kwargs:
                child = subprocess.Popen(
                    [sys.executable, "-m", "lmflow", *args],
                    text=True,
                    cwd=self.directory,
                    env=environment,
                    **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **kwargs},
                )
            else:
                child = nursery.start(
                    list(args), cwd=self.directory, env=environment, stdout=out.fileno(), stderr=err.fileno()
                )
        self.children.append(child)
        return child

    def read_output(self, child: Command) -> tuple[str, str]:
        """Return stdout and stderr of a child so far."""
        number = self.children.index(child)
        texts = (self.outputs / f"{number:03}.{name}" for name in ("stdout", "stderr"))
        out, err = (path.read_text(encoding="utf-8") for path in texts)
        return out, err

    def run(
        self,
        *args: str,
        timeout: float = COMMAND_SECONDS,
        env: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end and return code and output."""
        child = self.popen(*args, env=env, fresh=fresh)
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise AssertionError(f"lmflow {' '.join(args)} took too long: {self.read_output(child)}") from None
        return subprocess.CompletedProcess(child.args, child.returncode, *self.read_output(child))

    def wait_until(self, holds: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Look until the pool, the database or an output shows what the test waits for; fail when it does not come."""
        limit = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < limit, "what the test waits for did not come"
            time.sleep(0.02)

    def rows(self, *args: str) -> Any:
        """Run the command with ``-f json`` and return its data; its exit code is the caller's to judge elsewhere."""
        done = self.run(*args, "-f", "json")
        assert done.stdout, f"lmflow {' '.join(args)}: exit {done.returncode}: {done.stderr}"
        return json.loads(done.stdout)

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, newest first, straight from the database: a judge does not ask the judged."""
        if self.server_url:
            return [_make_run(*row) for row in self.read_server(_RUNS)]
        if not self.database_file.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.database_file, timeout=30)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'lmflow_runs'").fetchall():
                return []  # killed while the database was made
            rows = database.execute(_RUNS).fetchall()
        return [_make_run(*row) for row in rows]

    def read(self, statement: str) -> list[Any]:
        """Read the database, wherever it is; nothing while its tables are not there yet."""
        if self.server_url:
            return self.read_server(statement)
        if not self.database_file.exists():
            return []
        database = sqlite3.connect(self.database_file, timeout=30)
        with contextlib.closing(database), contextlib.suppress(sqlite3.OperationalError):
            return database.execute(statement).fetchall()
        return []

    def read_server(self, statement: str) -> list[Any]:
        """Read the database on the server; nothing while its tables are not there yet."""
        engine = sa.create_engine(self.server_url, poolclass=sa.NullPool)
        with contextlib.suppress(sa_exc.ProgrammingError), engine.connect() as conn:
            return list(conn.exec_driver_sql(statement))
        return []

    def close(self) -> None:
        """End what still runs, each by its own pid."""
        with contextlib.ExitStack() as ending:  # the first that cannot be ended keeps nobody from ending the others
            for pool in self.pools:
                ending.callback(pool.stop)
            for child in self.children:
                ending.callback(_end, child)


def _end(child: Command) -> None:
    if child.poll() is None:
        child.kill()
    child.wait(10)


def _make_run(uuid: str, state: str, request: str) -> dict[str, Any]:
    told = json.loads(request)
    names = {"vm": "vm_name", "source": "source_name", "destination": "destination_name", "request_id": "request_id"}
    return {"run": uuid, "state": state, **{key: told[name] for key, name in names.items()}}


def _describe(profile: PoolProfile, pool: SimulatedPool, overrides: Mapping[str, Any]) -> list[str]:
    options: dict[str, Any] = {
        "addresses": ",".join(profile.addresses),
        "username": profile.username,
        "scheme": profile.scheme,
        "port": profile.port,
        "password_file": pool.password_file,
        "ca_file": profile.tls.ca_file,
        "fingerprints": ",".join(f"{address}:{digest}" for address, digest in profile.tls.fingerprints.items()),
        **overrides,
    }
    return [f"{key} = {value}" for key, value in options.items() if value not in ("", None)]
