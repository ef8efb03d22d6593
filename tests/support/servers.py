"""PostgreSQL and MariaDB as the tests use them: clusters of their own, made of Debian's packages.

Each lies in a temporary directory, listens on 127.0.0.1 and a socket in that directory only, and is ended by its pid.
One cluster of each kind serves all workers of a test run (``shared``); it is held by a process of its own, this module
run as a program, which ends with the run. A test that stops its server has one for itself (``start_own``).
"""

from __future__ import annotations

import abc
import contextlib
import fcntl
import json
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

START_SECONDS = 60.0
STOP_SECONDS = 20.0
ROOT = Path(__file__).parents[2]
# Not from the range of ports that the kernel gives to others while a server is down.
PORTS = range(20000, 32000)
# The clock of a server is in a time zone of its own, with summer time; and its language is English.
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "EST5EDT,M3.2.0,M11.1.0"}


class Server(abc.ABC):
    """One cluster. ``start``, ``stop`` and ``crash`` are for the process that made it; databases are for everybody."""

    kind: ClassVar[str]
    account: ClassVar[str]
    admin: ClassVar[str]
    crash_signal: ClassVar[signal.Signals]

    def __init__(self, directory: Path, port: int, password: str, *, durable: bool) -> None:
        self.directory, self.port, self.password, self.durable = directory, port, password, durable
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls, *, durable: bool, template: Path | None = None, password: str = "") -> Self:
        """Make a stopped cluster in a new directory; a copy of a ``template`` has that one's password."""
        cls.find("")
        directory = Path(tempfile.mkdtemp(prefix=f"lmflow-{cls.kind}-"))
        if os.geteuid() == 0:  # neither server runs as root
            account = pwd.getpwnam(cls.account)
            os.chown(directory, account.pw_uid, account.pw_gid)
        # A password with letters that a URL has to escape; what is looked for in outputs is the part before them.
        server = cls(directory, _find_port(), password or f"hush{uuid.uuid4().hex}@/:", durable=durable)
        if template is None:
            server.initialize()
        else:
            server._call("cp", "-a", str(template), str(server.data))
        return server

    @classmethod
    @abc.abstractmethod
    def find(cls, program: str) -> str:
        """Return where a program is; the test fails when the package is not installed."""

    @abc.abstractmethod
    def initialize(self) -> None:
        """Fill the data directory."""

    @abc.abstractmethod
    def _command(self) -> list[str]: ...

    @abc.abstractmethod
    def url(self, database: str, user: str = "lmflow", password: str | None = None) -> str:
        """Return the URL of a database."""

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def secret(self) -> str:
        """The part of the password that no URL escapes."""
        return self.password.removesuffix("@/:")

    def start(self) -> None:
        """Start the server and wait until it answers. It ends with the thread that started it, however that ends."""
        assert self.process is None
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._wrap(*self._command(), dies_with_us=self.crash_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        limit = time.monotonic() + START_SECONDS
        while not self._answers():
            text = (self.directory / "server.log").read_text(errors="replace")[-2000:]
            assert self.process.poll() is None, f"{self.kind} ended with {self.process.returncode}: {text}"
            assert time.monotonic() < limit, f"{self.kind} does not answer: {text}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as an administrator does who does not wait for its clients."""
        self._end(signal.SIGINT if self.kind == "postgresql" else signal.SIGTERM)

    def crash(self) -> None:
        """End it without letting it tidy up; what was committed has to be there after the next start."""
        self._end(self.crash_signal)

    def remove(self) -> None:
        """End it and delete its directory."""
        if self.process is not None:
            self.crash()
        shutil.rmtree(self.directory, ignore_errors=True)

    def create_database(self) -> str:
        """Create a database that the user lmflow may fill, and return its name."""
        name = f"t{uuid.uuid4().hex}"
        self.execute(*self._creation(name))
        return name

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Create a database, yield its URL, drop it."""
        name = self.create_database()
        yield self.url(name)
        self.drop_database(name)

    def execute(self, *statements: str) -> list[Any]:
        """Execute statements as the administrator and return the rows of the last one."""
        engine = sa.create_engine(self._admin_url(), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        rows: list[Any] = []
        with engine.connect() as conn:
            for statement in statements:
                result = conn.exec_driver_sql(statement)
                rows = list(result) if result.returns_rows else []
        return rows

    @abc.abstractmethod
    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""

    @abc.abstractmethod
    def _creation(self, name: str) -> list[str]: ...

    def _admin_url(self) -> str:
        return self.url("postgres" if self.kind == "postgresql" else "", self.admin)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except sa_exc.OperationalError:
            return False
        return True

    def _make_url(self, driver: str, database: str, user: str, password: str | None) -> str:
        made = sa.URL.create(
            driver, user, self.password if password is None else password, "127.0.0.1", self.port, database or None
        )
        return made.render_as_string(hide_password=False)

    def _wrap(self, *command: str, dies_with_us: signal.Signals | None = None) -> list[str]:
        wrapped = ["setpriv", f"--pdeathsig={dies_with_us.name.removeprefix('SIG') if dies_with_us else 'keep'}"]
        if os.geteuid() == 0:
            wrapped += [f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]
        return [*wrapped, *command]

    def _call(self, *command: str) -> None:
        done = subprocess.run(
            self._wrap(*command), cwd=self.directory, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Postgresql(Server):
    """PostgreSQL with UTF-8 and passwords."""

    kind, account, admin = "postgresql", "postgres", "postgres"
    crash_signal = signal.SIGQUIT  # "immediate": no checkpoint. SIGKILL would leave its shared memory behind.

    @classmethod
    def find(cls, program: str) -> str:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found or not shutil.which("setpriv"):
            pytest.fail("PostgreSQL's server is not installed: apt-get install postgresql", pytrace=False)
        return str(found[-1].with_name(program or "postgres"))

    def initialize(self) -> None:
        secret = self.directory / "secret"
        secret.touch(mode=0o644)  # its directory is closed to others
        secret.write_text(self.password)
        options = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8"]
        self._call(self.find("initdb"), "-D", str(self.data), *options, "--locale=C.UTF-8")
        secret.unlink()

    def start(self) -> None:
        super().start()
        if not self.execute("SELECT 1 FROM pg_roles WHERE rolname = 'lmflow'"):
            self.execute(f"CREATE ROLE lmflow LOGIN PASSWORD '{self.password}'")

    def _command(self) -> list[str]:
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.directory}
        settings |= {"shared_buffers": "16MB", "max_connections": 200}
        if not self.durable:  # a crash of the machine would lose it, and then there is nobody to miss it
            settings |= {"fsync": "off", "full_page_writes": "off"}
        given = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [self.find("postgres"), "-D", str(self.data), *given]

    def url(self, database: str, user: str = "lmflow", password: str | None = None) -> str:
        return self._make_url("postgresql+psycopg", database, user, password)

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _creation(self, name: str) -> list[str]:
        return [f'CREATE DATABASE "{name}" OWNER lmflow']


class Mariadb(Server):
    """MariaDB with the defaults of its makers, not of Debian: databases are latin1 unless somebody says otherwise."""

    kind, account, admin = "mariadb", "mysql", "admin"
    crash_signal = signal.SIGKILL

    @classmethod
    def find(cls, program: str) -> str:
        found = shutil.which(program or "mariadbd", path=f"/usr/sbin:/usr/bin:{os.environ['PATH']}")
        if not found or not shutil.which("setpriv"):
            pytest.fail("MariaDB's server is not installed: apt-get install mariadb-server", pytrace=False)
        return found

    def initialize(self) -> None:
        options = ["--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal"]
        options += ["--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=8M"]
        self._call(self.find("mariadb-install-db"), *options)

    def _command(self) -> list[str]:
        first = self.directory / "first.sql"
        first.write_text(
            f"SET PASSWORD FOR 'root'@'localhost' = PASSWORD('{self.password}');\n"
            f"CREATE OR REPLACE USER 'admin'@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
            "GRANT ALL ON *.* TO 'admin'@'127.0.0.1' WITH GRANT OPTION;\n"
            f"CREATE USER IF NOT EXISTS 'lmflow'@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
        )
        settings = {"datadir": self.data, "socket": self.directory / "socket", "pid-file": self.directory / "pid"}
        settings |= {"bind-address": "127.0.0.1", "port": self.port, "init-file": first, "tmpdir": self.directory}
        settings |= {"innodb-log-file-size": "8M", "innodb-buffer-pool-size": "32M", "max-connections": 200}
        if not self.durable:  # as above: kept over the death of the server, not over that of the machine
            settings |= {"innodb-flush-log-at-trx-commit": 2, "innodb-flush-method": "nosync"}
        given = [f"--{key}={value}" for key, value in settings.items()]
        return [self.find("mariadbd"), "--no-defaults", "--skip-name-resolve", *given]

    def url(self, database: str, user: str = "lmflow", password: str | None = None) -> str:
        return self._make_url("mariadb+pymysql", database, user, password)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def _creation(self, name: str) -> list[str]:
        return [f"CREATE DATABASE `{name}`", f"GRANT ALL ON `{name}`.* TO 'lmflow'@'127.0.0.1'"]


KINDS: dict[str, type[Server]] = {each.kind: each for each in (Postgresql, Mariadb)}


class Servers:
    """The servers of one test run: ``directory`` is common to its workers, ``controller`` the process it ends with."""

    def __init__(self, directory: Path, controller: int) -> None:
        self._directory, self._controller = directory, controller
        self._attached: dict[str, Server] = {}
        self._own: list[Server] = []

    def shared(self, kind: str) -> Server:
        """Return the cluster that all workers use, started by the first who asks."""
        if kind not in self._attached:
            told = self._tell(kind)
            self._attached[kind] = KINDS[kind](Path(told["directory"]), told["port"], told["password"], durable=False)
        return self._attached[kind]

    def start_own(self, kind: str, *, durable: bool = False) -> Server:
        """Start a cluster that only the caller uses, and may stop; see ``end_own``."""
        told = self._tell(kind)
        server = KINDS[kind].make(durable=durable, template=Path(told["template"]), password=told["password"])
        self._own.append(server)
        server.start()
        return server

    def end_own(self) -> None:
        """End and delete the clusters that ``start_own`` has started."""
        while self._own:
            self._own.pop().remove()

    def _tell(self, kind: str) -> dict[str, Any]:
        KINDS[kind].find("")
        told = self._directory / f"{kind}.json"
        with (self._directory / f"{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.exists():
                self._start_holder(kind, told)
        return dict(json.loads(told.read_text()))

    def _start_holder(self, kind: str, told: Path) -> None:
        log = told.with_suffix(".log")
        with log.open("ab") as output:
            holder = subprocess.Popen(
                [sys.executable, "-m", "tests.support.servers", kind, str(told), str(self._controller)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                start_new_session=True,
            )
        limit = time.monotonic() + 2 * START_SECONDS
        while not told.exists():
            assert holder.poll() is None, f"{kind} was not started: {log.read_text()}"
            assert time.monotonic() < limit, f"{kind} did not come up: {log.read_text()}"
            time.sleep(0.02)
        holder.returncode = 0  # it outlives this worker, and nobody here waits for it


def _find_port() -> int:
    while True:
        port = random.choice(PORTS)  # noqa: S311 - not a secret
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


def _hold(kind: str, told: Path, controller: int) -> None:
    """Keep a cluster until the controller of the test run has ended, in whatever way."""
    end = os.pidfd_open(controller)
    server = KINDS[kind].make(durable=False)
    try:
        template = server.directory / "template"
        server._call("cp", "-a", str(server.data), str(template))
        server.start()
        words = {"directory": str(server.directory), "port": server.port, "password": server.password}
        draft = told.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps({**words, "template": str(template)}))
        draft.rename(told)
        select.select([end], [], [])
    finally:
        server.remove()


if __name__ == "__main__":
    _hold(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
