"""Five lies that lmflow could tell: each is planted in a copy of it, and the scenarios have to notice."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAILURE = "tests/functional/test_scenarios_failure.py"
KILLED = "tests/functional/test_scenarios_killed.py"
VALIDATION = "tests/functional/test_scenarios_validation.py"


@dataclasses.dataclass(frozen=True)
class Mutant:
    """``old`` stands once in ``file``; with ``new`` in its place, ``scenario`` must fail and have ``said`` why."""

    file: str
    old: str
    new: str
    scenario: str
    said: str


MUTANTS = {
    "submits twice": Mutant(
        "lmflow/tasks/submit_pool_migrate.py",
        "            started = self.submit(context, attempt.uuid)\n",
        "            self.submit(context, attempt.uuid)\n            started = self.submit(context, attempt.uuid)\n",
        f"{VALIDATION}::test_1_one_call_moves_it_and_nothing_else_changes",
        "a: 2 VM.pool_migrate",
    ),
    "skips a revert": Mutant(
        "lmflow/tasks/base.py",
        "            _with_patience(context, self.NAME, lambda: self.undo(context))\n",
        "            pass\n",
        f"{FAILURE}::test_45_a_failure_reverts_in_reverse_order[an ordered check]",
        "d: PBD",
    ),
    "reports success early": Mutant(
        "lmflow/verdict/table.py",
        "        \"task-pending\", RE_ATTACH,",
        "        \"task-pending\", CONCLUDE,",
        f"{KILLED}::test_51_a_living_owner_is_not_robbed",
        "says success",
    ),
    "takes the database's Halted for the truth": Mutant(
        "lmflow/verdict/decide.py",
        "    row = next(row for row in table if row.fits(features))\n",
        "    row = next(row for row in table if row.fits(features))\n"
        "    if row.name == \"pool-settling\" and seen.power_state == \"Halted\":\n"
        "        return Verdict(type(row.kind).ROLL_BACK, \"XAPI says Halted\", \"xapi\")\n",
        f"{FAILURE}::test_45c_without_a_witness_it_is_unknown",
        "says failed",
    ),
    "writes the session to the log": Mutant(
        "lmflow/xapi/link.py",
        "        self.session_uuid = login.session_uuid\n",
        "        self.session_uuid = login.session_uuid\n        _log.warning(\"in: %s\", login.session.handle[10:])\n",
        f"{VALIDATION}::test_1_one_call_moves_it_and_nothing_else_changes",
        "f: a secret stands",
    ),
}  # fmt: skip


def run_scenario(copy: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider", scenario]
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in [n for n in env if n.startswith("PYTEST")]:
        del env[name]
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False, timeout=170)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "mutants", "house")
    for name in ("lmflow", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_scenarios_notice(name: str, copy: Path) -> None:
    mutant = MUTANTS[name]
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.file} has changed: plant the mutant {name!r} anew"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    done = run_scenario(copy, mutant.scenario)
    assert done.returncode == 1, f"nobody noticed that lmflow {name}:\n{done.stdout[-3000:]}{done.stderr[-500:]}"
    assert mutant.said in done.stdout, done.stdout[-3000:]


def test_without_a_mutant_a_copy_passes(copy: Path) -> None:
    done = run_scenario(copy, MUTANTS["submits twice"].scenario)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "1 passed" in done.stdout
