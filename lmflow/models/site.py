"""What a site has set for all its migrations: rules, placement, hooks. Values only, from configuration or a caller."""

from __future__ import annotations

import dataclasses

from lmflow.models.base import Model


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hook(Model):
    """Something of the site's own that is run ``before`` anything is changed in the pool, or ``after`` the arrival.

    ``name`` is an entry point of the namespace ``lmflow.hooks``; or ``command`` is run, without a shell, with a JSON
    document on its stdin. It has ``timeout_seconds``. ``fatal``: its failure ends the run before anything is changed,
    or leaves it resumable after the arrival; otherwise it is a warning. ``hidden``: names of environment variables that
    a command does not get, since they hold secrets of lmflow.
    """

    moment: str
    name: str = ""
    command: tuple[str, ...] = ()
    timeout_seconds: float = 60.0
    fatal: bool = False
    hidden: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return what it is called in messages and records: of a command its program, for arguments may be secret."""
        return self.name or "".join(self.command[:1])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Site(Model):
    """What holds for every migration of a site.

    ``rules_off``: names of rules that are not asked. ``strategy``: an entry point of ``lmflow.strategies``, which ranks
    hosts where none is named. ``max_retries``: how many hosts are tried beyond the first then. ``plugin_seconds``: how
    long one call of a rule or strategy that is not lmflow's own may take. ``own_vm_uuid``: the VM in which lmflow
    runs: a UUID, '' for none, ``auto`` to read it from this machine.
    """

    rules_off: tuple[str, ...] = ()
    strategy: str = "headroom"
    max_retries: int = 3
    plugin_seconds: float = 10.0
    own_vm_uuid: str = "auto"
    hooks: tuple[Hook, ...] = ()
