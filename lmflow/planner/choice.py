"""One destination of several."""

from __future__ import annotations

from collections.abc import Sequence

from lmflow.models import Candidate, Choice, HostVerdict, Refusal


def choose(verdicts: Sequence[HostVerdict]) -> Choice:
    """Return the valid host with the most memory left after the move, ties by name, then UUID; never the present host.

    The order of the verdicts does not matter. A host whose size is unknown comes last.
    """
    candidates = sorted((v for v in verdicts if v.ok and not v.present and not v.findings), key=_rank)
    refused = sorted((v for v in verdicts if v.findings and not v.present), key=lambda v: (v.host_name, v.host_uuid))
    best = candidates[0] if candidates else None
    return Choice(
        host_uuid=best.host_uuid if best else "",
        host_name=best.host_name if best else "",
        because=_explain(len(candidates), len(refused)),
        candidates=tuple(Candidate(v.host_name, v.headroom_bytes) for v in candidates),
        refused=tuple(Refusal(v.host_name, v.findings) for v in refused),
    )


def _rank(verdict: HostVerdict) -> tuple[bool, int, str, str]:
    headroom = verdict.headroom_bytes
    return headroom is None, -(headroom or 0), verdict.host_name, verdict.host_uuid


def _explain(candidates: int, refused: int) -> str:
    if candidates > 1:
        return f"most free memory of {candidates} candidates"
    if candidates == 1:
        return "the only candidate"
    return f"no candidate: {refused} would refuse it" if refused else "the pool has no other host"
