"""The completion scripts, asked in the shells they are for (Debian packages: bash, fish, zsh)."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from subprocess import CompletedProcess
from typing import Any

import pytest

from lmflow.cli.complete import SHELLS
from lmflow.cli.main import LmflowApp
from tests.support.scene import Scene

Command = Callable[..., CompletedProcess[str]]
Ask = Callable[..., dict[str, set[str]]]
SHELL_SECONDS = 120.0
HEAVY = ("sqlalchemy", "alembic", "taskflow", "XenAPI")

# Each prints "LINE <line>" and then what the shell would complete its end to, one a line; $1 is the script.
ASK_BASH = r"""
source "$1"
for asked in "${@:2}"; do  # the script has a variable called line
  read -ra COMP_WORDS <<< "$asked"
  [[ $asked == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )) COMP_LINE=$asked COMP_POINT=${#asked} COMPREPLY=()
  registered=$(complete -p lmflow)
  function=${registered##*-F }
  "${function%% *}" lmflow "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
  printf '%s\n' "LINE $asked" "${COMPREPLY[@]}"
done
"""
ASK_FISH = r"""
source $argv[1]
for line in $argv[2..]
  echo "LINE $line"
  complete -C $line | string split -f 1 \t
end
true  # split fails where nothing is offered
"""
# zsh completes only in its line editor: an inner, interactive one is typed into, and answers through a pipe.
ASK_ZSH = r"""
zmodload zsh/zpty
export SCRIPT=$1
shift
mkfifo answers
zpty inner zsh -f -i
zpty -w inner "source ./inner.zsh"
exec {answers}<answers
for line; do
  print -r -- "LINE $line"
  zpty -w -n inner "$line"$'\t'
  while read -ru $answers word && [[ $word != END ]]; do print -r -- $word; done
done
zpty -d inner
"""
INNER_ZSH = r"""
PROMPT= RPROMPT=
[[ $SCRIPT == */_lmflow ]] && fpath=($SCRIPT:h $fpath)
autoload -Uz compinit && compinit -D -u
[[ $SCRIPT == */_lmflow ]] || eval "$(<$SCRIPT)"
exec {answers}>answers
compadd () {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
    builtin compadd "$@"
    return
  fi
  local -a hits
  builtin compadd -A hits "$@"
  (( $#hits )) || return 1
  print -rlu $answers -- $hits
}
answer () { zle complete-word; print -ru $answers -- END; zle kill-whole-line }
zle -N answer
bindkey '^I' answer
"""
ASKING: dict[str, tuple[list[str], str]] = {
    "bash": (["bash", "--norc"], ASK_BASH),
    "fish": (["fish", "--no-config"], ASK_FISH),
    "zsh": (["zsh", "-f"], ASK_ZSH),
}
MODULES = """
import sys
from lmflow.cli.main import main
code = main(["complete", "--shell", "bash"])
print("\\n".join(["MODULES", *sys.modules]))
sys.exit(code)
"""

every_shell = pytest.mark.parametrize("shell", SHELLS)


@pytest.fixture
def ask(scene: Scene, lmflow: Command) -> Ask:
    """Ask a shell, with the script of the installed command, what it completes the end of each line to."""

    def ask(shell: str, lines: Sequence[str], *, name: str = "completion") -> dict[str, set[str]]:
        assert shutil.which(shell), f"the Debian package {shell} is missing: apt-get install {shell}"
        made = lmflow("complete", "--shell", shell)
        assert (made.returncode, made.stderr) == (0, "")
        place = scene.directory / shell
        place.mkdir()
        (place / "site.conf").touch()
        (place / "inner.zsh").write_text(INNER_ZSH, encoding="utf-8")
        script, asking = place / "scripts" / name, place / "ask"
        script.parent.mkdir()
        script.write_text(made.stdout, encoding="utf-8")
        program, text = ASKING[shell]
        asking.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [*program, str(asking), str(script), *lines],
            cwd=place,
            env={**scene.environment(), "TERM": "xterm"},
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            check=True,
        )
        assert done.stderr == ""
        return _read(done.stdout)

    return ask


def _read(text: str) -> dict[str, set[str]]:
    answers: dict[str, set[str]] = {}
    line = ""
    for each in text.splitlines():
        if each.startswith("LINE "):
            line = each.removeprefix("LINE ")
            answers[line] = set()
        elif each:
            answers[line].add(each)
    return answers


def _names() -> list[str]:
    return sorted(LmflowApp().command_manager.commands)


def _actions(name: str) -> list[Any]:
    app = LmflowApp()
    factory, _, _ = app.command_manager.find_command(name.split())
    return list(factory(app, None).get_parser(f"lmflow {name}")._actions)


def _choices(name: str, dest: str) -> set[str]:
    return next({str(choice) for choice in action.choices} for action in _actions(name) if action.dest == dest)


def _words(prefix: str) -> set[str]:
    """The words that may follow these in the name of a command."""
    return {name.removeprefix(prefix).split()[0] for name in _names() if name.startswith(prefix)}


@every_shell
def test_commands_options_choices_and_files_are_completed(ask: Ask, shell: str) -> None:
    wanted = {
        "lmflow mi": {"migrate"},
        "lmflow ": _words(""),
        "lmflow run ": _words("run "),
        "lmflow run s": {"show"},
        "lmflow -q run s": {"show"},
        "lmflow --pool lab mi": {"migrate"},
        "lmflow graph -f ": _choices("graph", "formatter"),
        "lmflow run list --format ": _choices("run list", "formatter"),
        "lmflow graph s": {"settle"},
        "lmflow run list -c req": {"request_id"},
        "lmflow explain VM_REQUIRES_S": {"VM_REQUIRES_SR"},
        "lmflow complete --shell ": set(SHELLS),
        "lmflow --config-file si": {"site.conf"},
        "lmflow migrate web-01 --config-file si": {"site.conf"},
        "lmflow simulator --state si": {"site.conf"},
        "lmflow run show ": set(),
        "lmflow migrate --to ": set(),
    }
    assert ask(shell, list(wanted)) == wanted


@every_shell
def test_an_option_of_the_command_is_completed_before_and_behind_its_argument(ask: Ask, shell: str) -> None:
    answers = ask(shell, ["lmflow migrate --t", "lmflow migrate web-01 --to xcp-b --stri", "lmflow migrate --poo"])
    told = dict(zip(("to", "strict", "pool"), answers.values(), strict=True))
    assert "--to" in told["to"]
    assert told["strict"] == {"--strict"}
    assert told["pool"] == {"--pool"}, "global options stand behind the command too"


@every_shell
def test_every_option_of_every_command_is_offered(ask: Ask, shell: str) -> None:
    wanted = {
        f"lmflow {name} --": {o for action in _actions(name) for o in action.option_strings if o.startswith("--")}
        for name in _names()
    }
    assert wanted["lmflow migrate --"]
    answers = ask(shell, list(wanted))
    assert {line: sorted(options - answers[line]) for line, options in wanted.items() if options - answers[line]} == {}


def test_zsh_finds_the_script_among_its_functions_too(ask: Ask) -> None:
    assert ask("zsh", ["lmflow run s"], name="_lmflow") == {"lmflow run s": {"show"}}


def test_the_shell_of_the_person_is_the_default(lmflow: Command) -> None:
    scripts = {shell: lmflow("complete", "--shell", shell).stdout for shell in SHELLS}
    assert len(set(scripts.values())) == len(SHELLS)
    for of_person, shell in (("/usr/bin/fish", "fish"), ("/bin/zsh", "zsh"), ("/bin/sh", "bash"), ("", "bash")):
        assert lmflow("complete", env={"SHELL": of_person}).stdout == scripts[shell], of_person


def test_a_shell_that_is_not_known_is_a_usage_error(lmflow: Command) -> None:
    done = lmflow("complete", "--shell", "tcsh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "tcsh" in done.stderr


def test_no_engine_no_pool_and_no_database_is_loaded(scene: Scene) -> None:
    command = [sys.executable, "-c", MODULES]
    done = subprocess.run(
        command, env=scene.environment(), cwd=scene.directory, capture_output=True, text=True, timeout=120, check=True
    )
    script, modules = done.stdout.split("MODULES\n")
    assert "complete -o bashdefault -F" in script
    assert not [m for m in modules.splitlines() if m.split(".")[0] in HEAVY]
    assert [path.name for path in scene.directory.iterdir()] == ["home"], "nothing else was written"
