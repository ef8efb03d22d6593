"""What a strategy is given and what it answers, and how lmflow asks one that it need not trust."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from lmflow.exceptions import PluginError
from lmflow.models import Model, Site
from lmflow.plugins import Plugin, call_guarded, get_plugin

NAMESPACE: Final = "lmflow.strategies"


@dataclasses.dataclass(frozen=True, slots=True)
class HostFacts(Model):
    """What a strategy may know of a candidate.

    ``headroom_bytes`` is the memory left there after the move, None when its size is unknown; ``total_bytes`` is what
    the host has, 0 when unknown. ``running_vms`` are the guests there now, ``peers`` those of them that are in an
    anti-affinity group together with the VM.
    """

    host_uuid: str
    host_name: str
    headroom_bytes: int | None
    running_vms: int = 0
    total_bytes: int = 0
    peers: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Ranked(Model):
    """A candidate in its place, with the reason in a few words."""

    host_uuid: str
    because: str


Strategy = Callable[[Sequence[HostFacts]], Iterable[Ranked]]
"""A pure function from the candidates, by name and UUID, to all of them, the best first."""

Rank = Callable[[Sequence[HostFacts]], tuple[Ranked, ...]]


def get_rank(site: Site) -> Rank:
    """Return the site's strategy, ready to be asked; PluginError when there is none of that name."""
    return functools.partial(rank_by, get_plugin(NAMESPACE, site.strategy), site.plugin_seconds)


def rank_by(plugin: Plugin, plugin_seconds: float, facts: Sequence[HostFacts]) -> tuple[Ranked, ...]:
    """Return the strategy's answer; PluginError with its name when it raises, hangs, or does not rank each host once.

    Those with fewer peers go first whatever it says: XAPI itself spreads a group's VMs only when it starts them.
    """
    answer: tuple[Any, ...] = call_guarded(plugin, plugin_seconds, lambda: tuple(plugin.value(tuple(facts))))
    wrong = _find_wrong(facts, answer)
    if wrong:
        raise PluginError(f"{plugin.name} ({plugin.source} of {plugin.distribution}) {wrong}")
    by_uuid = {each.host_uuid: each for each in facts}
    if len({each.peers for each in facts}) <= 1:
        return answer
    told = [Ranked(r.host_uuid, f"{_say_peers(by_uuid[r.host_uuid].peers)}; {r.because}") for r in answer]
    return tuple(sorted(told, key=lambda ranked: by_uuid[ranked.host_uuid].peers))


def _find_wrong(facts: Sequence[HostFacts], answer: Sequence[Any]) -> str:
    """Return what is wrong with an answer, '' for nothing."""
    if not all(isinstance(each, Ranked) for each in answer):
        return "answered something else than hosts with a reason each"
    mute = [each for each in answer if not (isinstance(each.because, str) and each.because.strip())]
    if mute:
        return f"gave no reason for host {mute[0].host_uuid}"
    names = {each.host_uuid: each.host_name for each in facts}
    uuids = [each.host_uuid for each in answer]
    unknown = [each for each in uuids if each not in names]
    if unknown:
        return f"ranked {unknown[0]}, which is no candidate"
    twice = [names[each] for each in uuids if uuids.count(each) > 1]
    if twice:
        return f"ranked {twice[0]} twice"
    missing = [name for uuid, name in names.items() if uuid not in uuids]
    return f"left out {missing[0]}" if missing else ""


def _say_peers(count: int) -> str:
    return f"{count or 'no'} VM{'' if count == 1 else 's'} of its anti-affinity groups there"
