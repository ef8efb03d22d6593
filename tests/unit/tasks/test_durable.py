"""Before which steps everything is written that was left to be: each step has to decide, and to say why."""

from __future__ import annotations

import pytest

from lmflow.flows import move, settle
from lmflow.tasks.base import BaseTask
from lmflow.visualize import EXAMPLE_REQUEST

READS = "it reads, and changes nothing"
BEFORE = "each change is written down just before it is sent, and what was left to be written with it"

NOT_DURABLE = {
    "record_intent": "it writes only, and nothing of the pool depends on it",
    "observe": READS,
    "validate_pool": READS,
    "validate_host": READS,
    "validate_sr": READS,
    "validate_network": READS,
    "validate_cpu": READS,
    "validate_memory": READS,
    "validate_vm": READS,
    "validate_site": READS,
    "hooks_before": "that a hook begins is written down before it does",
    "claim_vm": BEFORE,
    "copy_kernel": BEFORE,
    "eject_local_iso": BEFORE,
    "connect_storage": BEFORE,
    "submit_pool_migrate": "the attempt is written down before it is sent, and what was left to be written with it",
    "await_pool_migrate": "it watches; a cancel and a mark that it puts back are written down before they are sent",
    "verify_on_destination": READS,
    "await_settled": READS,
    "release_source_storage": BEFORE,
    "strip_base_mirror": BEFORE,
    "remove_source_kernel": BEFORE,
    "hooks_after": "that a hook begins is written down before it does",
    "release_vm": BEFORE,
}

DURABLE = {
    "conclude": "it destroys the pool's records of our tasks, which are evidence, and writes down nothing before",
}


def list_steps() -> list[BaseTask]:
    flows = (each(EXAMPLE_REQUEST) for each in (move.make_move_flow, settle.make_settle_flow))
    return [node for each in flows for node, _ in each.iter_nodes() if isinstance(node, BaseTask)]


@pytest.mark.parametrize("step", list_steps(), ids=lambda step: step.NAME)
def test_each_step_has_decided(step: BaseTask) -> None:
    assert (step.NAME in DURABLE) is step.DURABLE
    assert (step.NAME in NOT_DURABLE) is not step.DURABLE


def test_a_step_that_says_nothing_is_durable() -> None:
    assert BaseTask.DURABLE
