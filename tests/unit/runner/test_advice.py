"""Every verdict leads to one command."""

from __future__ import annotations

import re

import pytest

from lmflow.models import MoveRequest, Run, RunState
from lmflow.runner.reports import MEANING, advise, explain
from lmflow.tasks.watch import Sight
from lmflow.verdict import Evidence, Sent, Verdict, VerdictKind

VM = "0a1b2c3d-0000-4000-8000-000000000001"
REQUEST = MoveRequest("r", "lab", "p", VM, "web-01", "s", "xcp-a", "d", "xcp-b")
RUN = Run("7fd20000-0000-4000-8000-000000000000", "migrate", RunState.UNKNOWN, "move", REQUEST, "", "", "", 0.0, 0.0)


def make_sight(kind: VerdictKind) -> Sight:
    seen = Evidence("s", "d", Sent.ACCEPTED, "Running", "s")
    return Sight(evidence=seen, verdict=Verdict(kind, "it was seen"), vm=None, hosts=(), attempt=None)


@pytest.mark.parametrize("kind", VerdictKind)
def test_it_is_one_command_of_this_run(kind: VerdictKind) -> None:
    commands = re.findall(r"\blmflow (\w+) (\S+)", advise(RUN, kind))
    assert commands == [("resolve" if kind is VerdictKind.UNKNOWN else "resume", "7fd20000")]
    assert "lmflow resolve" not in explain(RUN, make_sight(kind))
    assert explain(RUN, make_sight(kind)).startswith(f"it was seen; {MEANING[kind]}")


def test_before_a_decision_it_is_said_where_to_look_and_what_can_be_said() -> None:
    text = explain(RUN, make_sight(VerdictKind.UNKNOWN))
    assert "Look on xcp-a and on xcp-b (list_domains | grep 0a1b2c3d)" in text
    assert text.endswith("--on xcp-a, --on xcp-b or --nowhere")
    assert advise(RUN, VerdictKind.UNKNOWN).endswith("--on HOST --reason TEXT")
