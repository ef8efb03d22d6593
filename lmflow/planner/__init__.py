"""Where to? Pure decisions over verdicts; nothing is read and nothing is moved here."""

from lmflow.planner.choice import choose, make_facts
from lmflow.planner.ranking import NAMESPACE, HostFacts, Rank, Ranked, get_rank, rank_by
from lmflow.planner.retry import VM_BOUND, Ended, find_objection

__all__ = [
    "NAMESPACE",
    "VM_BOUND",
    "Ended",
    "HostFacts",
    "Rank",
    "Ranked",
    "choose",
    "find_objection",
    "get_rank",
    "make_facts",
    "rank_by",
]
