"""Asking rules: ours as they are, a site's behind a limit; one that fails becomes a finding that refuses."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Sequence
from typing import Any, Final

from lmflow.checks.rule import SITE, Rule
from lmflow.exceptions import PluginError
from lmflow.models import Finding, Snapshot
from lmflow.plugins import Plugin, call_guarded

MAX_FINDINGS: Final = 1000
"""More of one rule about one snapshot are nonsense."""

_TEXTS = ("code", "message", "remedy")
_LAST = 1e9


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An entry point of the namespace: the rule that it names, or why there is none.

    ``namesake``: another rule had its name before; switching that name off would switch off both.
    """

    plugin: Plugin
    rule: Rule | None
    error: str = ""
    namesake: bool = False

    @property
    def order(self) -> float:
        """Return its place; what is no rule comes last."""
        return self.rule.order if self.rule else _LAST

    @property
    def place(self) -> str:
        """Return the group by which it is asked; what is no rule is asked with the site's."""
        return self.rule.place if self.rule else SITE

    @property
    def elsewhere(self) -> bool:
        """Tell whether another host could do better."""
        return self.rule is not None and self.rule.elsewhere

    def fail(self, because: str) -> Finding:
        """Return the finding that stands in for an answer."""
        off = "" if self.namesake else f", or switch it off: disabled = {self.plugin.name} in [checks]"
        return Finding(
            rule=self.plugin.name,
            code="RULE_FAILED",
            message=f"the rule {self.plugin.name} of {self.plugin.distribution} cannot be asked: {because}",
            remedy=f"repair or remove it{off}",
            elsewhere=False,
        )


class Rulebook:
    """Rules in their order. One that took too long is not asked again: each time it would take as long once more."""

    def __init__(self, entries: Sequence[Entry], plugin_seconds: float) -> None:
        self._entries = tuple(entries)
        self._seconds = plugin_seconds
        self._silent: dict[str, str] = {}

    def count(self, group: str) -> int:
        """Return the number of rules of a group."""
        return sum(entry.place == group for entry in self._entries)

    def ask(self, snapshot: Snapshot, group: str = "") -> tuple[Finding, ...]:
        """Return what the rules find, or those of one group alone."""
        return self._ask_all([entry for entry in self._entries if group in ("", entry.place)], snapshot)

    def ask_anywhere(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        """Return what the rules find that do not look at the destination."""
        return self._ask_all([entry for entry in self._entries if not entry.elsewhere], snapshot)

    def _ask_all(self, entries: Sequence[Entry], snapshot: Snapshot) -> tuple[Finding, ...]:
        found = tuple(finding for entry in entries for finding in self._ask(entry, snapshot))
        objecting = {finding.rule for finding in found if not finding.warning}
        quiet = {entry.rule.name for entry in entries if entry.rule and objecting & set(entry.rule.quiet_after)}
        return tuple(finding for finding in found if finding.rule not in quiet)

    def _ask(self, entry: Entry, snapshot: Snapshot) -> tuple[Finding, ...]:
        rule, error = entry.rule, entry.error or self._silent.get(entry.plugin.name, "")
        if rule is None or error:
            return (entry.fail(error),)
        began = time.monotonic()
        try:
            limited = call_guarded(
                entry.plugin,
                self._seconds,
                lambda: tuple(itertools.islice(rule.check(snapshot), MAX_FINDINGS + 1)),
            )
        except PluginError as failure:
            if time.monotonic() - began >= self._seconds:
                self._silent[entry.plugin.name] = failure.message
            return (entry.fail(failure.message),)
        nonsense = find_nonsense(limited)
        return (entry.fail(nonsense),) if nonsense else tuple(_stamp(rule, snapshot, each) for each in limited)


def find_nonsense(findings: Sequence[Any]) -> str:
    """Return why these are not the findings of a rule, '' when they are."""
    if len(findings) > MAX_FINDINGS:
        return f"it answered with more than {MAX_FINDINGS} findings"
    for each in findings:
        if not isinstance(each, Finding):
            return f"it answered with a {type(each).__name__}, which is no Finding"
        foreign = [name for name in _TEXTS if not isinstance(getattr(each, name), str)]
        if foreign or not isinstance(each.warning, bool) or not each.code:
            return f"it answered with a Finding whose {(*foreign, 'code or warning')[0]} is not usable"
    return ""


def _stamp(rule: Rule, snapshot: Snapshot, finding: Finding) -> Finding:
    """Return the finding with what is known of its rule."""
    return dataclasses.replace(
        finding,
        rule=rule.name,
        elsewhere=rule.elsewhere,
        warning=finding.warning or rule.warning,
        forced=rule.forced and snapshot.terms.force,
    )
