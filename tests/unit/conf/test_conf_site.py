"""[checks], [placement] and [hooks]: what a site sets for all its migrations."""

from pathlib import Path

import pytest

from lmflow.conf import load
from lmflow.exceptions import ConfigurationError
from lmflow.models import Hook, Site

POOLS = "[pool:lab]\naddresses = x\npassword_env = LAB_PASSWORD\n[pool:test]\naddresses = y\n"


def read(tmp_path: Path, text: str) -> Site:
    path = tmp_path / "lmflow.conf"
    path.write_text(POOLS + text)
    return load([path], {"HOME": "/home/me"}).site


def test_a_site_that_sets_nothing_has_what_the_model_says(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Site()


def test_hooks_are_called_in_the_order_in_which_they_are_named_commands_last(tmp_path: Path) -> None:
    site = read(
        tmp_path,
        "[hooks]\nbefore = ticket, backup\nafter = monitoring\ntimeout = 5\non_failure = fatal\n"
        "command_before = ./announce --to 'the team'\ncommand_after = ~/bin/check\n",
    )
    assert [(hook.moment, hook.label) for hook in site.hooks] == [
        ("before", "ticket"),
        ("before", "backup"),
        ("before", f"{tmp_path}/announce"),
        ("after", "monitoring"),
        ("after", "/home/me/bin/check"),
    ]
    assert site.hooks[2].command == (f"{tmp_path}/announce", "--to", "the team")
    assert {(hook.timeout_seconds, hook.fatal) for hook in site.hooks} == {(5.0, True)}


def test_a_command_gets_no_variable_that_holds_a_secret_of_lmflow(tmp_path: Path) -> None:
    (hook,) = read(tmp_path, "[hooks]\ncommand_after = tell\n").hooks
    assert hook == Hook(moment="after", command=("tell",), hidden=("LAB_PASSWORD", "OS_DATABASE__CONNECTION"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[hooks]\ncommand_before = tell 'the team", "no command line"),
        ("[hooks]\nbefore = ticket, ticket", "different names"),
        ("[hooks]\nafter = ticket,,backup", "different names"),
        ("[hooks]\ntimeout = 0", "timeout"),
        ("[hooks]\non_failure = stop", "on_failure"),
        ("[checks]\nown_vm = web-01", "neither a UUID"),
        ("[placement]\nstrategy =", "empty"),
        ("[placement]\nmax_retries = -1", "max_retries"),
        ("[placement]\nmax_retry = 1", "max_retries"),
    ],
)
def test_a_mistake_is_named_with_its_option(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, f"{line}\n")
    assert words in f"{refused.value.message} {refused.value.advice}"
