"""Acceptance scenario 2, its second half: a UUID that names nothing, given through the API and to the command."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from lmflow.api import RefusedError
from tests.support.embedding import open_client
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def test_2_an_unknown_uuid_is_refused_by_the_api_and_usage_of_the_command(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    nobody = str(uuid.uuid4())
    with open_client(scene) as client:
        for vm, host, kind in ((nobody, "B", "VM"), ("v", nobody, "host")):
            with pytest.raises(RefusedError, match=f"no {kind} of this pool has the UUID {nobody}"):
                client.migrate(vm, host, request_id="gone")
        assert client.runs() == ()
    done = lmflow("migrate", "v", "--to", nobody)
    assert done.returncode == 2, done.stderr
    assert "B" in done.stderr.split("UUID", 1)[1]
    assert pool.changing_calls() == []
    assert scene.runs() == []
