"""What a command imports before it can answer; how long that takes is measured by bench/startup.py, not here."""

import subprocess
import sys

import pytest

from tests.support.scene import Scene

ENGINE = ("taskflow", "XenAPI", "networkx", "alembic", "rich", "lmflow.api.client")
DATABASE = ("sqlalchemy", "lmflow.db")
# stevedore is a part of cliff.app; that it never scans the installation is shown by what it would import.
CONFIGURATION = ("oslo_config", "lmflow.conf")
ASK = """
import sys
from lmflow.cli.main import main
code = main(sys.argv[1:])
sys.stderr.write("modules: " + " ".join(sys.modules))
sys.exit(code)
"""


def list_imports(scene: Scene, *arguments: str) -> list[str]:
    """Run the command in an interpreter of its own and return all modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *arguments],
        env={**scene.environment(), "SHELL": "/bin/sh"}, cwd=scene.directory, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr.rpartition("modules: ")[2].split()


def find_any(modules: list[str], *unwanted: str) -> list[str]:
    return [m for m in modules if any(m == name or m.startswith(f"{name}.") for name in unwanted)]


def find_commands(modules: list[str]) -> list[str]:
    """Return the modules of commands."""
    from lmflow.cli.main import Commands  # noqa: PLC0415 - in a test of imports

    ours = {str(entry.value).partition(":")[0] for _, entry in Commands("lmflow.cli")}
    return sorted(ours & set(modules))


@pytest.mark.parametrize("arguments", [("--help",), ("help",), ("--version",), ("run", "--help")], ids=" ".join)
def test_the_help_loads_no_command_and_nothing_that_only_commands_need(scene: Scene, arguments: tuple[str]) -> None:
    modules = list_imports(scene, *arguments)
    assert not find_any(modules, *ENGINE, *DATABASE, *CONFIGURATION, "lmflow.models", "prettytable", "yaml", "ssl")
    assert not find_commands(modules)


@pytest.mark.parametrize("name", ["graph", "run list", "db upgrade", "explain", "complete"])
def test_the_help_of_a_command_loads_this_one_only(scene: Scene, name: str) -> None:
    modules = list_imports(scene, *name.split(), "--help")
    assert not find_any(modules, *ENGINE, *DATABASE, *CONFIGURATION)
    assert find_commands(modules) == [f"lmflow.cli.{name.replace(' ', '_')}"]


def test_a_code_is_explained_without_pool_database_and_configuration(scene: Scene) -> None:
    assert not find_any(list_imports(scene, "explain", "9"), *ENGINE, *DATABASE, *CONFIGURATION)


def test_the_completion_is_written_without_pool_database_and_configuration(scene: Scene) -> None:
    assert not find_any(list_imports(scene, "complete"), *ENGINE, *DATABASE, *CONFIGURATION)


def test_runs_are_listed_without_an_engine(scene: Scene) -> None:
    scene.write_config()
    scene.config_file.write_text(f"{scene.config_file.read_text()}[pool:lab]\naddresses = 127.0.0.1\n")
    assert scene.run("db", "upgrade").returncode == 0
    modules = list_imports(scene, "run", "list")
    assert not find_any(modules, *ENGINE)
    assert find_any(modules, *DATABASE)
    assert find_commands(modules) == ["lmflow.cli.run_list"]
