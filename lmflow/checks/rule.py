"""What a rule is: a pure function over a snapshot, and what is to be known of it before it is asked."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Final

from lmflow.models import Finding, Snapshot

GROUPS: Final = ("pool", "host", "sr", "network", "cpu", "memory", "vm")
"""The groups of lmflow's own validations; a rule of any other group is asked with those of the site."""

SITE: Final = "site"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One question to a snapshot; an entry point of ``lmflow.checks`` names it, and is called as it is.

    ``order``: its place in the order in which XAPI asserts; what XAPI does not assert comes after. ``codes`` are the
    codes of its findings. ``needs``: the parts of the snapshot that it reads. ``remedy`` is the general one.
    ``elsewhere``: another host could do better; where it is false, ``check`` must not look at the destination.
    ``forced``: XAPI skips with ``force=true`` what it forestalls. ``warning``: it refuses nothing. ``quiet_after``:
    names of rules; where one of them is asked with it, and objects, what this one finds says nothing new.
    """

    name: str
    check: Callable[[Snapshot], Iterable[Finding]]
    group: str = SITE
    order: float = 1000.0
    codes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    remedy: str = ""
    elsewhere: bool = True
    forced: bool = False
    warning: bool = False
    quiet_after: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Return what it asks: the first line of its function's docstring."""
        return (inspect.getdoc(self.check) or "").partition("\n")[0]

    @property
    def place(self) -> str:
        """Return the validation that asks it: its group, or the site's."""
        return self.group if self.group in GROUPS else SITE

    def object_to(self, message: str, *, code: str = "", remedy: str = "") -> Finding:
        """Return a finding of this rule, with its first code and its general remedy unless others are given."""
        return Finding(
            rule=self.name,
            code=code or self.codes[0],
            message=message,
            remedy=remedy or self.remedy,
            elsewhere=self.elsewhere,
            warning=self.warning,
        )
