"""Configuration: read once, wrong values named by file, option and remedy."""

import dataclasses
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from lmflow.conf import Settings, load, options
from lmflow.exceptions import ConfigurationError
from lmflow.models import PoolProfile, Tls, Waits

FINGERPRINT = "AB:" * 31 + "ab"
MINIMAL = "[pool:lab]\naddresses = xcp-a\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def call(text: str) -> Path:
        path = tmp_path / "lmflow.conf"
        path.write_text(text)
        return path

    return call


@pytest.fixture
def read(write: Callable[[str], Path], tmp_path: Path) -> Callable[..., Settings]:
    """Load a text as configuration file, in an environment of its own."""

    def call(text: str, **env: str) -> Settings:
        return load([write(text)], {"HOME": str(tmp_path), **env})

    return call


def test_nothing_has_to_be_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmflow.conf.reading.SYSTEM_FILE", tmp_path / "missing")
    settings = load(env={"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    assert settings.database_url == f"sqlite:///{tmp_path}/state/lmflow/lmflow.db"
    assert (settings.pools, settings.default_pool, settings.waits) == ({}, "", Waits())
    assert settings.config_file is None


@pytest.mark.parametrize(
    ("uid", "env", "directory"),
    [
        (0, {}, "/var/lib/lmflow"),
        (1000, {}, "/home/me/.local/state/lmflow"),
        (1000, {"XDG_STATE_HOME": "/srv/state"}, "/srv/state/lmflow"),
        (0, {"XDG_STATE_HOME": "/srv/state"}, "/srv/state/lmflow"),
        (1000, {"XDG_STATE_HOME": "relative"}, "/home/me/.local/state/lmflow"),
    ],
)
def test_the_state_has_its_place(
    uid: int, env: dict[str, str], directory: str, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    settings = load([write("")], {"HOME": "/home/me", **env})
    assert settings.state_dir == Path(directory)
    assert settings.database_url == f"sqlite:///{directory}/lmflow.db"


def test_a_configured_state_directory_and_database_count(read: Callable[..., Settings], tmp_path: Path) -> None:
    assert read("[DEFAULT]\nstate_dir = state\n").database_url == f"sqlite:///{tmp_path}/state/lmflow.db"
    assert read("[DEFAULT]\nstate_dir = ~/x\n").state_dir == tmp_path / "x"
    url = "postgresql+psycopg2://me:pa$$word@db/lmflow"
    settings = read(f"[database]\nconnection = {url}\n")
    assert settings.database_url == url.replace("$$", "$")
    assert "pa$word" not in repr(settings)


def test_files_are_looked_for_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(name: str, pool: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[pool:{pool}]\naddresses = x\n")
        return path

    home = {"HOME": str(tmp_path / "home")}
    monkeypatch.setattr("lmflow.conf.reading.SYSTEM_FILE", make("etc/lmflow.conf", "system"))
    assert load(env=home).default_pool == "system"
    make("home/.config/lmflow/lmflow.conf", "user")
    assert load(env=home).default_pool == "user"
    make("xdg/lmflow/lmflow.conf", "xdg")
    assert load(env={**home, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}).default_pool == "xdg"
    variable = {**home, "LMFLOW_CONFIG_FILE": str(make("variable.conf", "variable"))}
    assert load(env=variable).default_pool == "variable"
    named = make("named.conf", "named")
    settings = load([named], variable)
    assert settings.default_pool == "named"
    assert settings.config_file == named


@pytest.mark.parametrize("env", [{}, {"LMFLOW_CONFIG_FILE": "/nowhere/lmflow.conf"}])
def test_a_named_file_has_to_be_there(env: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"/nowhere/lmflow\.conf cannot be read") as missing:
        load([] if env else ["/nowhere/lmflow.conf"], env)
    assert "LMFLOW_CONFIG_FILE" in missing.value.advice


def test_a_whole_profile_is_read(read: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificate")
    settings = read(
        f"""
[DEFAULT]
default_pool = Paris
[pool:Paris]
addresses = xcp-a.example, 192.0.2.12,2001:db8::7
username = admin
port = 8443
ca_file = ca.pem
fingerprints = xcp-a.example:{FINGERPRINT}
connect_timeout = 1.5
read_timeout = 20
witness_timeout = 3
witness = false
[pool:test]
addresses = 127.0.0.1
scheme = http
insecure = yes
"""
    )
    assert settings.pools["Paris"] == PoolProfile(
        name="Paris",
        addresses=("xcp-a.example", "192.0.2.12", "2001:db8::7"),
        username="admin",
        scheme="https",
        port=8443,
        tls=Tls(ca_file=str(tmp_path / "ca.pem"), fingerprints={"xcp-a.example": "ab" * 32}),
        connect_timeout_seconds=1.5,
        read_timeout_seconds=20,
        witness_timeout_seconds=3,
        use_witness=False,
    )
    test = settings.pools["test"]
    assert (test.scheme, test.port, test.tls.insecure, test.username) == ("http", 80, True, "root")
    assert settings.default_pool == "Paris"


def test_a_single_profile_is_the_default(read: Callable[..., Settings]) -> None:
    assert read(MINIMAL).default_pool == "lab"
    assert read(MINIMAL).pools["lab"].port == 443
    assert read(MINIMAL + "[pool:b]\naddresses = y\n").default_pool == ""


def test_every_wait_is_an_option(read: Callable[..., Settings]) -> None:
    names = [field.name for field in dataclasses.fields(Waits)]
    assert [opt.name for opt in options.waits_opts] == names
    text = "\n".join(f"{name} = {number}" for number, name in enumerate(names, start=1))
    text = text.replace(f"\nlease_seconds = {names.index('lease_seconds') + 1}\n", "\nlease_seconds = 48\n")
    waits = read(f"[waits]\n{text}\n").waits
    expected = {name: float(number) for number, name in enumerate(names, start=1)} | {"lease_seconds": 48.0}
    assert waits == Waits(**expected)


def test_every_option_says_what_it_means_and_in_which_unit() -> None:
    for _group, opts in options.list_opts():
        for opt in opts:
            assert opt.help
            assert opt.help.rstrip().endswith((".", "FINGERPRINT, several with commas between."))
    for opt in options.waits_opts:
        assert opt.help.endswith("Seconds.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[pool:lab]\naddresses =\n", ["addresses", "[pool:lab]", "required"]),
        ("[pool:lab]\n", ["addresses", "required"]),
        ("[pool:lab]\naddresses = https://xcp-a\n", ["addresses", "https://xcp-a"]),
        ("[pool:lab]\naddresses = xcp-a:8443\n", ["addresses", "xcp-a:8443"]),
        (MINIMAL + "port = 99999\n", ["port", "65535"]),
        (MINIMAL + "port = 0\n", ["port", "1"]),
        (MINIMAL + "scheme = ftp\n", ["scheme", "ftp"]),
        (MINIMAL + "insecure = perhaps\n", ["insecure", "perhaps"]),
        (MINIMAL + "ca_file = missing.pem\n", ["ca_file", "missing.pem"]),
        (MINIMAL + "fingerprints = xcp-a:0123\n", ["fingerprints", "xcp-a", "64"]),
        (MINIMAL + "fingerprints = 0123\n", ["fingerprints"]),
        (MINIMAL + "read_timeout = 0\n", ["read_timeout", "0.01"]),
        (MINIMAL + "read_timeout =\n", ["read_timeout", "empty"]),
        (MINIMAL + "port =\n", ["port", "empty"]),
        (MINIMAL + "insecure =\n", ["insecure"]),
        (MINIMAL + "scheme =\n", ["scheme"]),
        (MINIMAL + "read_timeout = soon\n", ["read_timeout", "soon"]),
        ("[waits]\nlease_seconds = nan\n", ["lease_seconds", "finite"]),
        ("[waits]\ndeadline_seconds = inf\n", ["deadline_seconds", "less than"]),
        ("[waits]\nsettle_seconds = -1\n", ["settle_seconds", "0"]),
        ("[waits]\nlease_seconds = 10\n", ["heartbeat_seconds", "third"]),
        ("[DEFAULT]\ndefault_pool = other\n" + MINIMAL, ["default_pool", "other", "lab"]),
        ("[database]\nconnection = $nothing\n", ["connection", "$$"]),
        ("[DEFAULT]\nstate_dir = $nothing\n", ["state_dir", "$$"]),
        ("[DEFAULT]\nstate_dir = $state_dir\n", ["state_dir", "$$"]),
        ("[DEFAULT]\non_interrupt = stop\n", ["on_interrupt", "stop"]),
        ("[waits]\nlease_seconds = 1e400\n", ["lease_seconds", "less than"]),
        (MINIMAL + "read_timeout = $read_timeout\n", ["read_timeout", "$$"]),
        ("[waits]\nlease-seconds = 60\n", ["lease-seconds"]),
        ("[waits]\nsetle_seconds = 1\n", ["setle_seconds", "[waits]"]),
        ("[poool:lab]\naddresses = x\n", ["[poool:lab]"]),
        ("[pool:]\naddresses = x\n", ["[pool:]"]),
        ("[pool: lab]\naddresses = x\n", ["[pool: lab]"]),
        ("[pool:lab]]\naddresses = x\n", ["[pool:lab]]"]),
        (f"[pool:{'x' * 256}]\naddresses = x\n", ["names no profile"]),
        (MINIMAL + "username =\n", ["username", "empty"]),
        (MINIMAL + "username = root\n  port = 80\n", ["username", "line break"]),
        (MINIMAL + "password_env = it's secret\n", ["password_env"]),
        (MINIMAL + "password = secret\n", ["password", "[pool:lab]"]),
        ("no heading\n", ["line 1"]),
        ("[waits\n", ["line 1"]),
    ],
)
def test_a_mistake_is_named_with_file_option_and_remedy(
    read: Callable[..., Settings], tmp_path: Path, text: str, words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        read(text)
    assert str(tmp_path / "lmflow.conf") in wrong.value.message
    assert not [word for word in words if word not in wrong.value.message]
    assert wrong.value.advice


def test_a_misspelt_name_is_recognised(read: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        read(MINIMAL + "adresses = x\n")
    assert wrong.value.candidates == ("addresses",)
    assert "did you mean addresses" in wrong.value.advice


def test_a_file_that_is_no_text_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "lmflow.conf"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load([path], {})


def test_the_environment_goes_before_the_file(write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(MINIMAL + "[waits]\nlease_seconds = 60\n")
    monkeypatch.setenv("OS_WAITS__LEASE_SECONDS", "90")
    monkeypatch.setenv("OS_DATABASE__CONNECTION", "sqlite:////elsewhere/x.db")
    settings = load([path])
    assert settings.waits.lease_seconds == 90
    assert settings.database_url == "sqlite:////elsewhere/x.db"
    assert load([path], {}).waits.lease_seconds == 60
    monkeypatch.setenv("OS_WAITS__LEASE_SECONDS", "soon")
    with pytest.raises(ConfigurationError, match="lease_seconds"):
        load([path])


def test_a_password_comes_from_the_file_first(read: Callable[..., Settings], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(" pass word \nsecond line\n")
    secret.chmod(0o600)
    settings = read(MINIMAL + "password_file = secret\npassword_env = PW\n", PW="from the variable")
    assert settings.password("lab") == " pass word "
    assert "pass word" not in repr(settings)


def test_a_password_comes_from_the_variable_next(read: Callable[..., Settings]) -> None:
    settings = read(MINIMAL + "password_env = PW\n", PW="from the variable")
    assert settings.password("lab") == "from the variable"
    assert "from the variable" not in repr(settings)


def test_a_password_is_asked_for_last(write: Callable[[str], Path]) -> None:
    settings = load([write(MINIMAL + "password_env = PW\n")], {}, prompt=lambda name: f"typed for {name}")
    assert settings.password("lab") == "typed for lab"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINIMAL, "no source"),
        (MINIMAL + "password_env = PW\n", "PW is not set"),
        (MINIMAL + "password_file = missing\n", "missing"),
        (MINIMAL + "password_file = lmflow.conf\n", None),
    ],
)
def test_without_a_password_the_remedy_is_said(read: Callable[..., Settings], text: str, words: str | None) -> None:
    settings = read(text)
    if words is None:
        assert settings.password("lab") == "[pool:lab]"  # any file will do; its first line counts
        return
    with pytest.raises(ConfigurationError, match=words) as missing:
        settings.password("lab")
    assert "[pool:lab]" in missing.value.advice


def test_an_empty_password_file_is_a_mistake(read: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(ConfigurationError, match="empty"):
        read(MINIMAL + "password_file = secret\n").password("lab")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_password_file_that_others_can_read_is_warned_of(
    read: Callable[..., Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden\n")
    secret.chmod(mode)
    assert stat.S_IMODE(secret.stat().st_mode) == mode
    with caplog.at_level(logging.WARNING):
        read(MINIMAL + "password_file = secret\n").password("lab")
    assert bool(caplog.records) is warned
    assert "hidden" not in caplog.text
