"""Restarts of toolstacks that the recorder caused without writing down what it asked for."""

from __future__ import annotations

from lmflow.simulator.hosts.toolstack import READY, Toolstack
from tests.support.recorded.player import Player


def restart(player: Player, *names: str) -> None:
    """Restart the toolstacks of these hosts, one after the other, in good order; the player logs in again."""
    toolstack = player.pool.part(Toolstack)
    for name in names:
        host_ref = player.host(name)
        deaths = toolstack.on(host_ref).deaths
        toolstack.restart(host_ref, "TERM")
        with toolstack.changed:
            assert toolstack.changed.wait_for(lambda ref=host_ref, n=deaths: toolstack.on(ref).deaths > n, 30)
            assert toolstack.changed.wait_for(lambda ref=host_ref: toolstack.on(ref).state == READY, 30)
    player.client.login(originator="lab")
