"""Every command can be loaded, is cheap to ask for its help, and is what its entry point says."""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping

import pytest
from cliff.command import Command

from lmflow.cli.help import DESCRIPTIONS
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


def ask(*arguments: list[str], environment: Mapping[str, str] | None = None) -> tuple[list[tuple[int, str]], list[str]]:
    command = [sys.executable, "-c", ASK, json.dumps(arguments)]
    everything = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=everything)
    replies, modules = json.loads(done.stdout)
    return [(code, text) for code, text in replies], modules


def test_our_commands_are_found_where_their_entry_points_say() -> None:
    for entry in importlib.metadata.entry_points(group="lmflow.cli"):
        factory, name, rest = LmflowApp().command_manager.find_command([*entry.name.split("_"), "--there"])
        assert (name, rest) == (entry.name.replace("_", " "), ["--there"])
        assert factory is entry.load()


def test_the_help_has_the_line_of_every_command() -> None:
    commands = LmflowApp().command_manager
    lines = {name: (commands.find_command(name.split())[0].__doc__ or "").strip().split("\n")[0] for name in NAMES}
    missing = [f'"{name}": "{line}",' for name, line in lines.items() if DESCRIPTIONS.get(name) != line]
    assert not missing, f"put this into DESCRIPTIONS of lmflow/cli/help.py: {missing}"
    assert set(DESCRIPTIONS) == {*NAMES, "help"}, "no more than there are"


def test_the_help_shows_every_command_and_each_its_own() -> None:
    replies, modules = ask(["--help"], *([*name.split(), "--help"] for name in NAMES))
    assert [code for code, _ in replies] == [0] * (len(NAMES) + 1)
    overview = replies[0][1]
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


WRONG = {
    "statuz": "there is no command 'statuz'; did you mean status?",
    "mgirate web-01": "there is no command 'mgirate'; did you mean migrate?",
    "nosuch": "there is no command 'nosuch'",
    "run": "'run' needs a verb",
    "run nosuch": "there is no command 'run nosuch'",
    "help nosuch": "there is no command 'nosuch'",
    "migrate --nosuch": "the following arguments are required: ",
    "run list --nosuch": "unrecognized arguments: --nosuch",
    "--log-format xml status": "invalid choice: 'xml'",
    "status -f nosuch": "invalid choice: 'nosuch'",
    "status -c nosuch": "there is no column 'nosuch'",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_command_line_is_one_line_and_what_to_try(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert LmflowApp().run(words.split()) == 2
    told = capsys.readouterr()
    assert not told.out
    assert WRONG[words] in told.err
    assert told.err.count("lmflow: ") == 1, "one line says what is wrong"
    assert "  try: " in told.err or "  candidates:" in told.err


def test_a_noun_alone_lists_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert LmflowApp().run(["run"]) == 2
    verbs = [name for name in NAMES if name.startswith("run ")]
    assert all(verb in capsys.readouterr().err for verb in verbs[:1])
    assert LmflowApp().run(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert [line.split("  ")[1] for line in shown.splitlines()[1:]] == verbs


@pytest.mark.parametrize("arguments", [[], ["-v"], ["--debug"]])
def test_without_a_command_the_help_is_shown_as_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert LmflowApp().run(arguments) == 2
    told = capsys.readouterr()
    assert "usage: lmflow" in told.err
    assert "\n  migrate " in told.err
    assert not told.out


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert LmflowApp().run(["--version"]) == 0
    assert capsys.readouterr().out == f"lmflow {importlib.metadata.version('lmflow')}\n"


PLUG_IN = """
from cliff.command import Command

class Hello(Command):
    '''Greet.'''

    def take_action(self, parsed_args):
        self.app.stdout.write("hello\\n")
"""


def test_commands_of_others_are_found_and_never_go_before_ours(tmp_path: pathlib.Path) -> None:
    information = tmp_path / "hello-1.dist-info"
    information.mkdir()
    (tmp_path / "hello.py").write_text(PLUG_IN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hello\nVersion: 1\n")
    entries = ("hello = hello:Hello", "migrate = hello:Hello", "complete = hello:Hello", "broken = nosuch:Nosuch")
    (information / "entry_points.txt").write_text("\n".join(("[lmflow.cli]", *entries)) + "\n")
    replies, _ = ask(["--help"], ["hello"], ["migrate", "--help"], environment={"PYTHONPATH": str(tmp_path)})
    overview, greeting, ours = (text for _, text in replies)
    assert "\n  hello          Greet\n" in overview
    assert "\n  broken         (cannot be loaded: ModuleNotFoundError" in overview
    assert greeting == "hello\n"
    assert DESCRIPTIONS["migrate"] in ours
    assert DESCRIPTIONS["migrate"].rstrip(".") in overview


def test_global_options_may_stand_behind_the_command() -> None:
    app = LmflowApp()
    options, rest = app.parser.parse_known_args(["migrate", "web-01", "--to", "b", "--pool", "lab", "-q"])
    assert (options.pool, options.verbose_level, rest) == ("lab", 0, ["migrate", "web-01", "--to", "b"])
