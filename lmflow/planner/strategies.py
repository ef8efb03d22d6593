"""lmflow's own strategies: pure functions from candidates to a ranking. Ties go by name, then UUID."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lmflow.planner.ranking import HostFacts, Ranked

Key = Callable[[HostFacts], tuple[object, ...]]


def rank_by_headroom(facts: Sequence[HostFacts]) -> list[Ranked]:
    """Put the host first that has the most memory left after the move; one whose size is unknown comes last."""
    return _rank(facts, _by_headroom, "most free memory", _say_headroom)


def rank_by_spread(facts: Sequence[HostFacts]) -> list[Ranked]:
    """Put the host first that has the fewest running VMs, then the one with the most memory left."""
    return _rank(facts, lambda each: (each.running_vms, *_by_headroom(each)), "fewest running VMs", _say_running)


def rank_by_pack(facts: Sequence[HostFacts]) -> list[Ranked]:
    """Put the host first that has the least memory left, if it has enough, then the one with the most VMs."""
    return _rank(facts, _by_tightness, "least free memory that suffices", _say_headroom)


def _rank(facts: Sequence[HostFacts], key: Key, best: str, say: Callable[[HostFacts], str]) -> list[Ranked]:
    ordered = sorted(facts, key=lambda each: (*key(each), each.host_name, each.host_uuid))
    return [Ranked(each.host_uuid, say(each) if number else best) for number, each in enumerate(ordered)]


def _by_headroom(each: HostFacts) -> tuple[bool, int]:
    return each.headroom_bytes is None, -(each.headroom_bytes or 0)


def _by_tightness(each: HostFacts) -> tuple[bool, int, int]:
    # Less than nothing left: the figures are estimates, and the pool itself may see it otherwise.
    headroom = each.headroom_bytes
    return headroom is None or headroom < 0, headroom or 0, -each.running_vms


def _say_headroom(each: HostFacts) -> str:
    headroom = each.headroom_bytes
    return "its size is unknown" if headroom is None else f"{headroom / 2**30:.1f} GiB would be left"


def _say_running(each: HostFacts) -> str:
    return f"{each.running_vms} running VM{'' if each.running_vms == 1 else 's'}"
