"""The two flows of a run, as they are stored."""

from __future__ import annotations

from lmflow.db.database import FlowSpec
from lmflow.flows import move, settle
from lmflow.flows.versions import CURRENT
from lmflow.models import MoveRequest


def make_flow_specs(request: MoveRequest) -> tuple[FlowSpec, ...]:
    """Return what a run of this request is created with."""
    kwargs = {"request": request.to_json(), "version": CURRENT}
    return tuple(FlowSpec(name=f.NAME, factory=f.FACTORY, kwargs=kwargs) for f in (move, settle))
