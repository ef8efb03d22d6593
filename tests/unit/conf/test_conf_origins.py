"""Where each value comes from, and that none of them is a secret."""

from pathlib import Path

import pytest
from oslo_config import cfg

from lmflow.conf import list_opts, options
from lmflow.conf.origins import OptionValue, explain, find_shared, list_values, mask_url
from lmflow.conf.reading import Reader
from lmflow.models import PoolProfile

TEXT = """
[DEFAULT]
state_dir =
[database]
connection = postgresql+psycopg2://me:hunter2@db/lmflow
[waits]
quiet_seconds = 7
[pool:Office 2]
addresses = 192.0.2.1, 192.0.2.2
password_file = secret
[pool:lab]
addresses = xcp-a
password_env = LAB_PASSWORD
port = 8443
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lmflow.conf"
    path.write_text(TEXT)
    return path


def show(path: Path) -> dict[tuple[str, str], OptionValue]:
    explanation = explain([path])
    values = list(list_values(explanation.settings, explanation.find_origin))
    return {(value.group, value.option): value for value in values}


def test_every_option_of_every_group_is_shown_once_in_order(path: Path) -> None:
    known = {group.name: [opt.name for opt in opts] for group, opts in list_opts()}
    pool = known.pop("pool:name")
    expected = {**known, "pool:Office 2": pool, "pool:lab": pool}
    order = ["DEFAULT", "database", "waits", "pool:Office 2", "pool:lab"]
    assert list(show(path)) == [(group, name) for group in order for name in expected[group]]


def test_each_value_has_its_origin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_WAITS__POLL_SECONDS", "2")
    monkeypatch.setenv("OS_DEFAULT__DEFAULT_POOL", "lab")
    shown = show(path)
    written = {key for key, value in shown.items() if value.origin == f"file {path}"}
    assert written == {
        ("database", "connection"),
        ("waits", "quiet_seconds"),
        ("pool:Office 2", "addresses"),
        ("pool:Office 2", "password_file"),
        ("pool:lab", "addresses"),
        ("pool:lab", "password_env"),
        ("pool:lab", "port"),
    }
    assert shown["waits", "poll_seconds"] == OptionValue(
        "waits", "poll_seconds", 2.0, "environment OS_WAITS__POLL_SECONDS"
    )
    assert shown["DEFAULT", "default_pool"].origin == "environment OS_DEFAULT__DEFAULT_POOL"
    assert {value.origin for key, value in shown.items() if key not in written} == {
        "default",
        "environment OS_WAITS__POLL_SECONDS",
        "environment OS_DEFAULT__DEFAULT_POOL",
    }


def test_the_origin_is_that_of_oslo_config(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_WAITS__POLL_SECONDS", "2")
    reader = Reader(path, use_env=True)
    words = {cfg.Locations.environment: "environment", cfg.Locations.user: "file", cfg.Locations.opt_default: "default"}
    for key, opts in [
        ("DEFAULT", options.default_opts),
        ("waits", options.waits_opts),
        ("pool:lab", options.pool_opts),
    ]:
        for opt in opts:
            location = reader._conf.get_location(opt.name, None if key == "DEFAULT" else key)
            expected = words[location.location] if location else "default"
            assert reader.find_origin(key, opt.name).split(" ")[0] == expected, opt.name


def test_values_are_those_that_count(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/srv/state")
    shown = {key: value.value for key, value in show(path).items()}
    assert shown["DEFAULT", "state_dir"] == "/srv/state/lmflow"
    assert shown["pool:Office 2", "addresses"] == ["192.0.2.1", "192.0.2.2"]
    assert shown["pool:Office 2", "port"] == 443
    assert shown["pool:Office 2", "insecure"] is False
    assert shown["pool:Office 2", "fingerprints"] == {}
    assert shown["pool:Office 2", "password_file"] == f"{tmp_path}/secret"


def test_no_password_is_shown_or_read(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("hunter3\n")
    assert show(path)["pool:lab", "password_env"].value == "LAB_PASSWORD (not set)"
    monkeypatch.setenv("LAB_PASSWORD", "hunter4")
    shown = show(path)
    assert shown["pool:lab", "password_env"].value == "LAB_PASSWORD (set)"
    assert shown["database", "connection"].value == "postgresql+psycopg2://me:***@db/lmflow"
    assert "hunter" not in str(shown)
    (tmp_path / "secret").unlink()
    assert show(path)["pool:Office 2", "password_file"].value == f"{tmp_path}/secret"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:////var/lib/lmflow/lmflow.db", None),
        ("postgresql+psycopg2://me@db/lmflow", None),
        ("postgresql://db:5432/lmflow", None),
        ("postgresql://me:hunter2@db:5432/lmflow", "postgresql://me:***@db:5432/lmflow"),
        ("postgresql://:hunter2@db/x", "postgresql://:***@db/x"),
        ("postgresql://me:hunter2@:/?#hunter2@db/x", "postgresql://me:***@db/x"),
        ("postgresql://me:hunter 2@db/x", "postgresql://me:***@db/x"),
        ("postgresql://db/x?user=me&password=hunter2", "postgresql://db/x?user=me&password=***"),
        ("postgresql://db/x?sslPassword=hunter2&a=b", "postgresql://db/x?sslPassword=***&a=b"),
        ("postgresql:/me:hunter2@db/x", "***@db/x"),
    ],
)
def test_a_url_loses_its_password_and_nothing_else(url: str, masked: str | None) -> None:
    assert mask_url(url) == (masked or url)


def test_the_places_are_named_in_their_order() -> None:
    env = {"HOME": "/home/me"}
    usual = ("/home/me/.config/lmflow/lmflow.conf", "/etc/lmflow/lmflow.conf")
    assert explain([], env).places[:3] == ("--config-file (not given)", "$LMFLOW_CONFIG_FILE (not set)", usual[0])
    assert explain([], env).places[2:] == usual


def test_an_address_in_two_profiles_is_found() -> None:
    one = PoolProfile(name="a", addresses=("XCP-1.example", "192.0.2.1"))
    same = PoolProfile(name="b", addresses=("192.0.2.9", "xcp-1.example"))
    other_port = PoolProfile(name="c", addresses=("192.0.2.1",), port=8443)
    assert find_shared({"a": one, "b": same, "c": other_port}) == [("xcp-1.example", ("a", "b"))]
    assert find_shared({"a": PoolProfile(name="a", addresses=("x", "x"))}) == []
