"""Runs as the database remembers them, and their pictures."""

import dataclasses

from lmflow import visualize
from lmflow.flows.move import make_move_flow
from lmflow.flows.settle import make_settle_flow
from lmflow.models import Run
from lmflow.visualize import EXAMPLE_REQUEST, Picture

BEFORE = (
    *("record_intent", "observe"),
    *(f"validate_{what}" for what in ("pool", "host", "sr", "network", "cpu", "memory", "vm", "site")),
    *("hooks_before", "claim_vm", "copy_kernel", "eject_local_iso", "connect_storage", "submit_pool_migrate"),
)


@dataclasses.dataclass
class Row:
    """What the database keeps of an atom, as far as pictures care."""

    name: str
    state: str
    failure: str = ""


CRASHED = [*(Row(name, "SUCCESS") for name in BEFORE), Row("await_pool_migrate", "RUNNING")]


def draw_run(run: Run, rows: list[Row], **kwargs: object) -> Picture:
    """Make the picture of a run over the flows as they are."""
    flows = (make_move_flow(EXAMPLE_REQUEST), make_settle_flow(EXAMPLE_REQUEST))
    return visualize.make_run_picture(flows, run, atoms=rows, **kwargs)  # type: ignore[arg-type]
