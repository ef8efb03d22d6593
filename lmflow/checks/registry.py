"""All rules there are, lmflow's and those of a site, found by entry points; the common path knows no other way."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from typing import Any, Final

from lmflow import plugins
from lmflow.checks.asking import Entry, Rulebook
from lmflow.checks.rule import Rule
from lmflow.exceptions import ConfigurationError, PluginError
from lmflow.models import Finding, Site, Snapshot

NAMESPACE: Final = "lmflow.checks"

_NOTHING_SET: Final = Site()

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "name": str,
    "group": str,
    "order": (int, float),
    "codes": tuple,
    "quiet_after": tuple,
    "remedy": str,
    "elsewhere": bool,
    "forced": bool,
    "warning": bool,
}


@dataclasses.dataclass(frozen=True, slots=True)
class RuleSource:
    """Where a rule comes from. ``state``: ``on``, ``off`` by configuration, or ``failed``; then ``error`` says why."""

    name: str
    group: str
    order: float
    codes: tuple[str, ...]
    source: str
    distribution: str
    state: str
    error: str = ""


def find_rules() -> tuple[Rule, ...]:
    """Return every rule that can be asked, in XAPI's order."""
    return tuple(entry.rule for entry in _find_entries() if entry.rule is not None)


def find_our_rules() -> tuple[Rule, ...]:
    """Return lmflow's own rules, in XAPI's order."""
    return tuple(entry.rule for entry in _find_entries() if entry.rule is not None and entry.plugin.is_ours)


def find_rules_for(site: Site) -> Rulebook:
    """Return the rules that a site asks; ConfigurationError when it switches off one that is not there."""
    entries = _find_entries()
    _check_names(site, entries)
    return Rulebook(tuple(e for e in entries if e.plugin.name not in site.rules_off), site.plugin_seconds)


def find_sources(site: Site) -> tuple[RuleSource, ...]:
    """Return each rule with the package that brings it, in XAPI's order; ConfigurationError as ``find_rules_for``."""
    entries = _find_entries()
    _check_names(site, entries)
    return tuple(_describe(entry, off=entry.plugin.name in site.rules_off) for entry in entries)


def check_group(group: str, snapshot: Snapshot, site: Site = _NOTHING_SET) -> tuple[Finding, ...]:
    """Return every finding of the rules of one group, warnings too; ``site`` is the group of all that is not ours."""
    return find_rules_for(site).ask(snapshot, group)


def check_all(snapshot: Snapshot, site: Site = _NOTHING_SET) -> tuple[Finding, ...]:
    """Return every finding of every rule, warnings too, in the rules' order."""
    return find_rules_for(site).ask(snapshot)


def find_refusals(findings: Iterable[Finding], strict: bool = False) -> tuple[Finding, ...]:
    """Return the findings that refuse: with ``strict`` warnings too, never what ``force`` overrides."""
    return tuple(f for f in findings if not f.forced and (strict or not f.warning))


def find_warnings(findings: Iterable[Finding], strict: bool = False) -> tuple[Finding, ...]:
    """Return the findings that refuse nothing: the others."""
    return tuple(f for f in findings if f.forced or (f.warning and not strict))


def _find_entries() -> tuple[Entry, ...]:
    taken: set[str] = set()
    entries = []
    for plugin in sorted(plugins.load_plugins(NAMESPACE), key=lambda each: not each.is_ours):
        error = plugin.error or find_fault(plugin.name, plugin.value)
        namesake = plugin.name in taken
        if namesake:
            error = f"there is another rule called {plugin.name}: it needs a name of its own"
        taken.add(plugin.name)
        entries.append(Entry(plugin, None if error else plugin.value, error, namesake))
    if not any(entry.plugin.is_ours for entry in entries):
        raise PluginError("the rules of lmflow itself are not installed", advice="install the package lmflow anew")
    return tuple(sorted(entries, key=lambda entry: (entry.order, entry.plugin.name)))


def find_fault(name: str, value: Any) -> str:
    """Return what is wrong with something that is to be the rule of that name, '' for nothing."""
    if not isinstance(value, Rule):
        return f"it is no Rule but a {type(value).__name__}"
    given: dict[str, Any] = {field: getattr(value, field) for field in (*_TYPES, "check")}
    foreign = [field for field, kind in _TYPES.items() if not isinstance(given[field], kind)]
    if "codes" not in foreign and not all(isinstance(code, str) for code in given["codes"]):
        foreign.append("codes")
    if "order" not in foreign and math.isnan(given["order"]):
        foreign.append("order")
    if not callable(given["check"]):
        foreign.append("check")
    if foreign:
        return f"its field {foreign[0]} is not usable"
    return f"the rule calls itself {value.name}" if value.name != name else ""


def _check_names(site: Site, entries: Iterable[Entry]) -> None:
    names = {entry.plugin.name for entry in entries}
    unknown = [name for name in site.rules_off if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], sorted(names), n=5, cutoff=0.4)
        raise ConfigurationError(
            f"no rule is called {unknown[0]!r}, which [checks] disabled names",
            candidates=near,
            advice="lmflow check --sources",
        )


def _describe(entry: Entry, *, off: bool) -> RuleSource:
    rule, plugin = entry.rule, entry.plugin
    return RuleSource(
        name=plugin.name,
        group=entry.place,
        order=entry.order,
        codes=rule.codes if rule else (),
        source=plugin.source,
        distribution=plugin.distribution,
        state="off" if off else ("failed" if entry.error else "on"),
        error=entry.error,
    )
