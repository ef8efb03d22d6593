"""Lies about an outage: each is planted in a copy of lmflow, and a test of the outages has to notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.planting import Mutant, make_copy, plant

DATABASE = "tests/functional/test_outage_database.py"
NETWORK = "tests/functional/test_outage_network.py"
SECRETS = "tests/functional/xapi/test_secrets.py"
MUTANTS = {
    "writes again what was stored when the database gave no answer": Mutant(
        "lmflow/db/deferring.py",
        "        if count and _is_there(conn, events[0], first):\n",
        "        if False:\n",
        f"{DATABASE}::test_commits_without_an_answer_and_an_outage_in_mid_run[postgresql]",
        "Counter(",
    ),
    "takes a lost reply to the submit for a failure": Mutant(
        "lmflow/tasks/submit_pool_migrate.py",
        "        except NoReplyError as error:\n            context.say(\"message\", error.message)\n"
        "            return False\n",
        "        except NoReplyError as error:\n"
        "            context.database.attempts.ended(context.fence, attempt.uuid, \"not sent\")\n"
        "            raise MigrationFailedError(error.message) from error\n",
        f"{NETWORK}::test_the_connection_of_the_submit",
        "assert 4 == 0",
    ),
    "keeps a reference in an error": Mutant(
        "lmflow/xapi/failures.py",
        "next((uuid for uuid in found if uuid), _MASK)",
        "next((uuid for uuid in found if uuid), reference)",
        f"{SECRETS}::test_task_errors_hold_no_reference",
        "assert 'OpaqueRef' not in",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_outages_notice(name: str, tmp_path: Path) -> None:
    mutant, copy = MUTANTS[name], make_copy(tmp_path)
    plant(copy, name, mutant)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    for variable in [each for each in env if each.startswith("PYTEST")]:
        del env[variable]
    done = subprocess.run(
        [*command, mutant.scenario], cwd=copy, env=env, capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 1, f"nobody noticed that lmflow {name}:\n{done.stdout[-3000:]}{done.stderr[-500:]}"
    assert mutant.said in done.stdout, done.stdout[-3000:]
