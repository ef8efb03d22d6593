"""What a run has created or changed in its pool."""

from __future__ import annotations

import dataclasses

from lmflow.models.base import Model


@dataclasses.dataclass(frozen=True, slots=True)
class PoolObject(Model):
    """One object that a run has created or changed. ``kind`` says in plain words what was done to it.

    ``uuid`` is '' for a thing that has none, or whose UUID was never learnt; ``host`` is a name, '' where none matters.
    ``at`` is the latest word on it, in seconds since 1970 by the database's clock.

    ``fate``: ``done`` (it is so, and stays so), ``released`` (given up after the VM's arrival), ``undone``, ``left``
    (ours, and a revert could not undo it), ``unproved`` (nothing shows whether it was us; never undone), ``void`` (it
    did not come about, or others have overtaken it), ``open`` (begun and not settled; a resume or repair settles it).
    The VM itself: ``moved``, ``stayed`` or ``open``. ``run_uuid`` is the run, a try of its request, that did it.
    """

    kind: str
    name: str
    uuid: str
    host: str
    at: float
    fate: str
    run_uuid: str = ""
