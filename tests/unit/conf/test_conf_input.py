"""Files and environments as they come: every one that cannot be used is one clear line, and no secret is in it."""

import contextlib
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lmflow.conf import Settings, load
from lmflow.exceptions import ConfigurationError

MINIMAL = b"[pool:lab]\naddresses = xcp-a\n"
NOBODY = 65534


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def call(data: bytes) -> Path:
        path = tmp_path / "lmflow.conf"
        path.write_bytes(data)
        return path

    return call


@contextlib.contextmanager
def powerless() -> Iterator[None]:
    """Without root's right to read everything; anybody else has none to give up."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def refuse(path: Path | str, env: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load([path] if path else [], env or {})
    told = "".join(traceback.format_exception(refused.value))
    assert "hunter2" not in told, "tracebacks are logged"
    message = refused.value.message
    assert message.isprintable(), "one line, and nothing that steers a terminal"
    assert refused.value.advice
    return message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xef\xbb\xbf" + MINIMAL, ["byte order mark"]),
        (MINIMAL.decode().encode("utf-16"), ["byte order mark"]),
        (b"# caf\xe9\n" + MINIMAL, ["line 1", "UTF-8"]),
        (MINIMAL + b"username = ro\x00ot\n", ["line 3", "U+0000"]),
        (MINIMAL + b"username = \x1b[31mroot\n", ["line 3", "U+001B"]),
        (MINIMAL + b"# \xc2\x9b\n", ["line 3", "U+009B"]),
        ("[pool:l\u202eab]\naddresses = x\n".encode(), ["section", "invisible"]),
        ("[pool:l\u200bab]\naddresses = x\n".encode(), ["section", "invisible"]),
        ("[pool:lab]\naddre\u200bsses = x\n".encode(), ["option", "invisible"]),
        (MINIMAL + "username = r\u2066oot\n".encode(), ["username", "invisible"]),
        (MINIMAL + "port = \u202e12\n".encode(), ["port", "\\u202e"]),
        (MINIMAL + b"[waits]\n" + MINIMAL, ["line 4", "[pool:lab]", "line 1"]),
        (b"[pool:lab]\naddresses = x\n[pool:Lab]\naddresses = y\n", ["line 3", "[pool:lab]", "capitals"]),
        (MINIMAL + b"addresses = xcp-b\n", ["addresses", "twice"]),
        (b"[]\n", ["line 1"]),
        (b"[waits]\n = 1\n", ["line 2"]),
        (b"lease_seconds = 1\n", ["before the first"]),
        (b"[WAITS]\n", ["[WAITS]"]),
        (b"[default]\n", ["[default]"]),
        (b"[pool:lab]\nusername = root\n", ["addresses", "required"]),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(
    write: Callable[[bytes], Path], data: bytes, words: list[str]
) -> None:
    path = write(data)
    message = refuse(path)
    assert str(path) in message
    assert not [word for word in words if word not in message], message


@pytest.mark.parametrize(
    "text",
    [
        "[database]\nconnection postgresql//me.hunter2@db/x\n",
        "[database]\n  connection = postgresql://me:hunter2@db/x\n",
        "[database]\nconnection = postgresql://me:$hunter2@db/x\n",
        "[database]\n[hunter2\n",
        "[database]\nconection = postgresql://me:hunter2@db/x\n",
        "[pool:lab]\naddresses = x\npassword = hunter2\n",
        "[pool:lab]\naddresses = x\npassword_env = -hunter2-\n",
    ],
)
def test_what_may_be_a_secret_is_not_repeated(write: Callable[[bytes], Path], text: str) -> None:
    assert "hunter2" not in refuse(write(text.encode()))


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# nothing yet\n", b"[waits]\n"])
def test_an_empty_file_is_all_defaults(write: Callable[[bytes], Path], data: bytes) -> None:
    settings = load([write(data)], {"HOME": "/home/me", "XDG_STATE_HOME": "/srv"})
    nothing = load(write(b""), {"HOME": "/home/me", "XDG_STATE_HOME": "/srv"})
    assert settings == nothing
    assert not settings.pools


def test_line_ends_of_other_systems_are_no_part_of_a_value(write: Callable[[bytes], Path]) -> None:
    settings = load([write(MINIMAL.replace(b"\n", b"\r\n") + b"username = admin\r\n")], {})
    assert settings.pools["lab"].addresses == ("xcp-a",)
    assert settings.pools["lab"].username == "admin"


def test_a_name_in_another_script_is_a_name(write: Callable[[bytes], Path]) -> None:
    assert load([write("[pool:מעבדה]\naddresses = x\n".encode())], {}).default_pool == "מעבדה"


def test_a_directory_or_pipe_is_no_file(tmp_path: Path) -> None:
    assert "directory" in refuse(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refuse(tmp_path / "pipe")
    assert "directory" in refuse("", {"LMFLOW_CONFIG_FILE": str(tmp_path)})
    (tmp_path / "lmflow" / "lmflow.conf").mkdir(parents=True)
    assert "directory" in refuse("", {"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path)})
    assert "null" in refuse("lmflow\0.conf")


def test_a_file_that_may_not_be_read_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "lmflow" / "lmflow.conf"
    path.parent.mkdir()
    path.write_bytes(MINIMAL)
    path.chmod(0)
    with powerless():
        assert "ermission denied" in refuse(path)
        assert "ermission denied" in refuse("", {"LMFLOW_CONFIG_FILE": str(path)})
        assert "ermission denied" in refuse("", {"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path)})


def test_a_certificate_file_that_may_not_be_read_is_named(tmp_path: Path, write: Callable[[bytes], Path]) -> None:
    assert "ca_file" in refuse(write(MINIMAL + f"ca_file = {tmp_path}\n".encode()))
    assert "ca_file" in refuse(write(MINIMAL + b"ca_file = missing.pem\n"))


@pytest.mark.parametrize("name", ["LMFLOW_CONFIG_FILE", "OS_DEFAULT__STATE_DIR"])
def test_a_user_without_a_home_directory_is_told_what_needs_one(
    name: str, write: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("lmflow.conf.reading.SYSTEM_FILE", write(MINIMAL))
    assert load(env={"XDG_STATE_HOME": "/srv"}).default_pool == "lab"
    assert "state_dir" in refuse("", {})
    for each in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "~/lmflow")
    with pytest.raises(ConfigurationError, match="home directory"):
        load()


def test_state_dir_can_be_referred_to_as_it_counts(write: Callable[[bytes], Path], tmp_path: Path) -> None:
    path = write(b"[database]\nconnection = sqlite:///$state_dir/my.db\n")
    assert load([path], {"XDG_STATE_HOME": "/srv/a$b"}).database_url == "sqlite:////srv/a$b/lmflow/my.db"
    path.write_bytes(b"[DEFAULT]\nstate_dir = state\n" + path.read_bytes())
    assert load([path], {}).database_url == f"sqlite:///{tmp_path}/state/my.db"


def test_a_file_may_be_named_alone(write: Callable[[bytes], Path]) -> None:
    path = write(MINIMAL)
    assert load(path, {}) == load(str(path), {}) == load([path], {})


def test_settings_cannot_be_changed(write: Callable[[bytes], Path]) -> None:
    settings = load(write(MINIMAL), {})
    with pytest.raises(AttributeError):
        settings.default_pool = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.pools["other"] = settings.pools["lab"]  # type: ignore[index]


def test_each_call_makes_settings_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    found: dict[int, Settings] = {}
    barrier = threading.Barrier(4)

    def read(number: int) -> None:
        path = tmp_path / f"{number}.conf"
        path.write_text(f"[pool:p{number}]\naddresses = h{number}\n[waits]\nquiet_seconds = {number}\n")
        barrier.wait(30)
        found[number] = load(path, {})

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    told = {n: (s.default_pool, s.pools[f"p{n}"].addresses, s.waits.quiet_seconds) for n, s in found.items()}
    assert told == {n: (f"p{n}", (f"h{n}",), n) for n in range(4)}


GLOBAL = """
import os, sys
from oslo_config import cfg
from lmflow import conf
before = dict(os.environ), list(sys.argv), os.getcwd(), list(cfg.CONF)
conf.load(sys.argv[1], {})
conf.load(sys.argv[1])
assert before == (dict(os.environ), list(sys.argv), os.getcwd(), list(cfg.CONF))
"""


def test_nothing_global_is_left_behind(write: Callable[[bytes], Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GLOBAL, str(write(MINIMAL))], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
