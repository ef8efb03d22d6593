"""OS_GROUP__OPTION: what counts, what is refused because it would not, and what belongs to others."""

import logging
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from lmflow.conf import load, options
from lmflow.conf.environment import check_variables, make_variable
from lmflow.exceptions import ConfigurationError

MINIMAL = "[pool:lab]\naddresses = xcp-a\n[pool:test]\naddresses = xcp-b\n"
VALUES = {
    "state_dir": "/srv/state",
    "default_pool": "test",
    "on_interrupt": "cancel",
    "connection": "sqlite:////srv/x.db",
    "own_vm": "0C1E4F6A-3f1c-4ad6-8f3e-1b2c3d4e5f60",
    "strategy": "spread",
    "on_failure": "fatal",
    "command_before": "tell 'the site'",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lmflow.conf"
    path.write_text(MINIMAL)
    return path


def test_every_option_outside_pools_can_come_from_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for group, opts in options.list_opts():
        for opt in opts:
            if not group.name.startswith(options.POOL_PREFIX):
                monkeypatch.setenv(make_variable(group.name, opt.name), VALUES.get(opt.name, "77"))
    monkeypatch.setenv("OS_WAITS__HEARTBEAT_SECONDS", "7.5")
    settings = load([path])
    assert str(settings.state_dir) == "/srv/state"
    assert (settings.default_pool, settings.on_interrupt) == ("test", "cancel")
    assert settings.database_url == "sqlite:////srv/x.db"
    waits = settings.waits.to_json()
    assert waits.pop("heartbeat_seconds") == 7.5
    assert set(waits.values()) == {77.0}
    site = settings.site
    assert (site.rules_off, site.strategy, site.max_retries, site.plugin_seconds) == (("77",), "spread", 77, 77.0)
    assert site.own_vm_uuid == VALUES["own_vm"].lower()
    called = [(hook.moment, hook.name, hook.command) for hook in site.hooks]
    assert called == [
        ("before", "77", ()),
        ("before", "", ("tell", "the site")),
        ("after", "77", ()),
        ("after", "", ("77",)),
    ]
    assert {(hook.timeout_seconds, hook.fatal) for hook in site.hooks} == {(77.0, True)}


@pytest.mark.parametrize(
    "name",
    [
        "OS_POOL:LAB__USERNAME",
        "OS_POOL:LAB__ANYTHING",
        "OS_POOL_LAB__USERNAME",
        "os_pool_lab__username",
        "OS_WAITS__LEASE_SECOND",
        "OS_WAITS__lease_seconds",
        "os_default__state_dir",
        "OS_DEFAULT__CONFIG_SOURCE",
    ],
)
def test_a_variable_that_is_meant_for_lmflow_and_sets_nothing_is_refused(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(ConfigurationError, match=name) as refused:
        load([path])
    assert "hunter2" not in str(refused.value)
    assert refused.value.advice


def test_what_was_meant_is_named() -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_variables(["OS_WAITS__lease_seconds"])
    assert refused.value.candidates == ("OS_WAITS__LEASE_SECONDS",)


def test_variables_of_others_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_variables(["OS_USERNAME", "OS_AUTH__TYPE", "OS_POOL_MANAGER__WORKERS", "HOME", "LOS__X", "OS_WAITS"])
        assert not caplog.records
        check_variables(["OS_DATABASE__MAX_POOL_SIZE", "OS_PLACEMENT__RANDOMIZE"])
    assert "OS_DATABASE__MAX_POOL_SIZE" in caplog.text
    assert "OS_PLACEMENT__RANDOMIZE" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OS_WAITS__LEASE_SECONDS", "nan"),
        ("OS_WAITS__LEASE_SECONDS", ""),
        ("OS_DEFAULT__ON_INTERRUPT", "stop"),
        ("OS_DEFAULT__DEFAULT_POOL", "other"),
        ("OS_DATABASE__CONNECTION", "postgresql://me:$hunter2@db/x"),
        ("OS_DATABASE__CONNECTION", "sqlite:////x\u202e.db"),
    ],
)
def test_a_mistake_in_the_environment_is_named_by_its_variable(
    name: str, value: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as refused:
        load([path])
    assert str(path) not in refused.value.message
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))
    assert refused.value.message.isprintable()


def test_an_environment_that_is_given_is_no_source_of_options(path: Path) -> None:
    assert (
        load([path], {**os.environ, "OS_WAITS__LEASE_SECONDS": "90", "OS_POOL:LAB__PORT": "1"}).waits.lease_seconds
        == 30
    )


def test_a_password_stays_where_it_is_until_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lmflow.conf"
    path.write_text("[pool:lab]\naddresses = x\npassword_env = LAB_PASSWORD\n")
    settings = load([path])
    monkeypatch.setenv("LAB_PASSWORD", "set later")
    assert settings.password("lab") == "set later"


def refuse_to_ask(profile: str) -> str:
    raise ConfigurationError(f"pool {profile} has no password_file and no password_env, and there is no terminal")


@pytest.mark.parametrize(
    ("line", "env", "words"),
    [
        ("password_env = PW", {}, "the variable PW is not set"),
        ("password_env = PW", {"PW": ""}, "the variable PW is empty"),
        ("", {}, "has no password_file and no password_env"),
    ],
)
@pytest.mark.parametrize("prompt", [None, refuse_to_ask], ids=["no prompt", "no terminal"])
def test_a_password_that_is_missing_is_missed_where_it_was_to_be(
    line: str, env: dict[str, str], words: str, prompt: Callable[[str], str] | None, tmp_path: Path
) -> None:
    path = tmp_path / "lmflow.conf"
    path.write_text(f"[pool:lab]\naddresses = x\n{line}\n")
    with pytest.raises(ConfigurationError) as missing:
        load([path], env, prompt=prompt).password("lab")
    assert (words if line or prompt else "no source is configured") in missing.value.message


def test_a_password_file_from_another_system_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbfhunter2\r\n")
    (tmp_path / "secret").chmod(0o600)
    path = tmp_path / "lmflow.conf"
    path.write_text("[pool:lab]\naddresses = x\npassword_file = secret\n")
    assert load([path], {}).password("lab") == "hunter2"
