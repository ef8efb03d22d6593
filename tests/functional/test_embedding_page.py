"""The page on embedding shows nothing that was not run: its blocks are executed here, one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmflow.api import PoolProfile, RunState
from tests.support.embedding import make_settings
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene

PAGE = Path(__file__).resolve().parents[2] / "doc" / "source" / "embedding.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@pytest.mark.timeout(300)
def test_every_block_of_the_page_runs(
    simulator: Callable[..., SimulatedPool], scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = simulator("lab")
    page = PAGE.read_text(encoding="utf-8")
    blocks = BLOCK.findall(page)
    assert page.count("```") == 2 * len(blocks)
    assert {language for language, _ in blocks} == {"python"}
    names: dict[str, Any] = {}
    for number, (_, code) in enumerate(blocks):
        exec(compile(code, f"{PAGE.name}, block {number}", "exec"), names)  # noqa: S102 - the page's own code
        if number == 0:
            assert isinstance(names["settings"]["profiles"]["lab"], PoolProfile)
            names["settings"] |= make_settings(scene)  # the same names, and a pool that answers
    runs = {run["vm"]: (run["state"], run["destination"]) for run in scene.runs()}
    moved = {"web-01": "xcp-b", "web-02": "xcp-c"}
    moved |= dict.fromkeys(("web-03", "cache-01", "mail-01", "build-01"), "xcp-a")
    assert runs == {"db-01": ("refused", "xcp-c")} | {vm: (RunState.SUCCESS, host) for vm, host in moved.items()}
    assert {vm: pool.runs_on(vm) for vm in moved} == {vm: [host] for vm, host in moved.items()}
    said = capsys.readouterr().out
    assert re.search(r"^success .*web-01", said, re.M)
    assert re.search(r"^VM_INCOMPATIBLE_WITH_THIS_HOST ", said, re.M)
    assert "run this graph again" not in said
