"""From evidence to a verdict: pure, total, and the only place where it is decided what became of a migration."""

from lmflow.verdict.decide import decide
from lmflow.verdict.evidence import DECIDED, Evidence, Sent, find_sent, make_evidence
from lmflow.verdict.kinds import Verdict, VerdictKind
from lmflow.verdict.ordered import ORDERED_CODES, is_ordered
from lmflow.verdict.settling import Looks, is_overdue, is_settled, look

__all__ = [
    "DECIDED",
    "ORDERED_CODES",
    "Evidence",
    "Looks",
    "Sent",
    "Verdict",
    "VerdictKind",
    "decide",
    "find_sent",
    "is_ordered",
    "is_overdue",
    "is_settled",
    "look",
    "make_evidence",
]
