"""Three promises taken out of a copy of lmflow: without any one of them the kill matrix has to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.planting import Mutant, make_copy, plant

SUBMIT = "submit_pool_migrate|{}|Async.VM.pool_migrate|1"
MUTANTS = {
    "does not wait for the pool to settle": Mutant(
        "lmflow/verdict/settling.py",
        "    return back and watched and quiet_for >= waits.quiet_seconds\n",
        "    return True\n",
        f"destination-stopped ; {SUBMIT.format('reply_written')}",
        "it ended 'unknown'",
    ),
    "has no fence": Mutant(
        "lmflow/xapi/connection.py",
        "        if not session_uuid:\n            return True\n        with self._link.lock:\n",
        "        if session_uuid:\n            return True\n        with self._link.lock:\n",
        f"moved late ; {SUBMIT.format('request_read')}",
        "success after 2 VM.pool_migrate with effect",
    ),
    "sends no attempt id": Mutant(
        "lmflow/xapi/connection.py",
        "marked((ATTEMPT_HEADER, attempt_id))",
        "marked()",
        f"failed ; {SUBMIT.format('reply_written')}",
        "it ended 'success'",
    ),
}


def replay(copy: Path, schedule: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tests.support.kill_replay", schedule]
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False, timeout=170)


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_kill_matrix_notices(name: str, tmp_path: Path) -> None:
    mutant, copy = MUTANTS[name], make_copy(tmp_path)
    sound = replay(copy, mutant.scenario)
    assert sound.returncode == 0, sound.stderr[-3000:]
    plant(copy, name, mutant)
    done = replay(copy, mutant.scenario)
    assert done.returncode == 1, f"nobody noticed that lmflow {name}:\n{done.stdout[-3000:]}"
    assert mutant.said in done.stderr, done.stderr[-3000:]
