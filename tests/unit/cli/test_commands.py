"""Every command can be loaded, is cheap to ask for its help, and is what its entry point says."""

import importlib.metadata
import json
import subprocess
import sys

import pytest
from cliff.command import Command

from lmflow.cli.main import LmflowApp
from lmflow.simulator import serve

NAMES = sorted(entry.name.replace("_", " ") for entry in importlib.metadata.entry_points(group="lmflow.cli"))
HEAVY = ("taskflow", "sqlalchemy", "alembic", "XenAPI", "rich", "oslo_config", "networkx", "lmflow.api", "lmflow.db")

ASK = """
import io, json, sys
from lmflow.cli.main import main
codes, out = [], sys.stdout
for arguments in json.loads(sys.argv[1]):
    sys.stdout = io.StringIO()
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    codes.append([code or 0, sys.stdout.getvalue()])
sys.stdout = out
print(json.dumps([codes, sorted(sys.modules)]))
"""


def ask(*arguments: list[str]) -> tuple[list[tuple[int, str]], list[str]]:
    command = [sys.executable, "-c", ASK, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    replies, modules = json.loads(done.stdout)
    return [(code, text) for code, text in replies], modules


def test_all_commands_of_this_stage_are_there() -> None:
    wanted = "db upgrade, demo, graph, migrate, repair, resume, run list, run show, simulator, status, why"
    assert ", ".join(NAMES) == wanted


def test_help_loads_every_command_and_nothing_heavy() -> None:
    replies, modules = ask(["--help"], *([*name.split(), "--help"] for name in NAMES))
    assert [code for code, _ in replies] == [0] * (len(NAMES) + 1)
    overview = replies[0][1]
    assert "Could not" not in overview
    for name, (_, text) in zip(NAMES, replies[1:], strict=True):
        assert f"\n  {name} " in overview
        assert text.startswith(f"usage: lmflow {name} ")
        assert "password" not in text, "a password is never an argument"
    assert not [m for m in modules if m in HEAVY or m.startswith(tuple(f"{heavy}." for heavy in HEAVY))]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_says_in_one_line_what_it_does(name: str) -> None:
    factory, _, _ = LmflowApp().command_manager.find_command(name.split())
    assert issubclass(factory, Command)
    assert (factory.__doc__ or "").strip().endswith(".")


def test_the_simulator_command_has_exactly_the_options_of_the_module() -> None:
    factory, _, _ = LmflowApp().command_manager.find_command(["simulator"])
    ours = factory(LmflowApp(), None).get_parser("lmflow simulator")

    def describe(parser: object) -> dict[str, tuple[object, ...]]:
        actions = parser._actions  # type: ignore[attr-defined]
        return {a.dest: (tuple(a.option_strings), a.default, a.nargs, a.type, a.required) for a in actions}

    assert describe(ours) == describe(serve.make_parser())


def test_a_misspelt_command_is_a_usage_error_with_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert LmflowApp().run(["statuz"]) == 2
    told = capsys.readouterr()
    assert "candidates: status" in told.err
    assert not told.out


def test_without_a_command_the_help_is_shown_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert LmflowApp().run([]) == 2
    assert "usage: lmflow" in capsys.readouterr().err


def test_global_options_may_stand_behind_the_command() -> None:
    app = LmflowApp()
    options, rest = app.parser.parse_known_args(["migrate", "web-01", "--to", "b", "--pool", "lab", "-q"])
    assert (options.pool, options.verbose_level, rest) == ("lab", 0, ["migrate", "web-01", "--to", "b"])
