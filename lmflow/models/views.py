"""Where XAPI's database and the hosts themselves disagree about a VM."""

from __future__ import annotations

import dataclasses

from lmflow.models.base import Model


@dataclasses.dataclass(frozen=True, slots=True)
class WrongView(Model):
    """XAPI's view of a VM that is wrong, or that nobody can confirm.

    ``kind``: ``halted_but_running``, ``misplaced`` (it runs on another host than XAPI shows), ``ghost`` (it runs
    nowhere), ``twice`` (it runs on several hosts), ``unlisted`` (XAPI no longer knows it), or ``unproved`` (too few
    hosts answered to say which). ``shown`` is what XAPI shows, ``witness`` what each host said that was asked, a
    sentence each. ``step`` is the one command that mends XAPI's view, and ``where`` it is to be given; '' when none
    can be proved safe. ``proof``: why it is safe, or what is missing for that, a sentence each. ``never``: what would
    do harm. lmflow takes no step itself.
    """

    vm_uuid: str
    vm_name: str
    kind: str
    shown: str
    witness: tuple[str, ...] = ()
    step: str = ""
    where: str = ""
    proof: tuple[str, ...] = ()
    never: str = ""
