"""The registry: whose rules are asked, and what becomes of one that raises, hangs or answers nonsense."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmflow import checks, plugins
from lmflow.checks import registry
from lmflow.exceptions import ConfigurationError, PluginError
from lmflow.models import Finding, Site, Snapshot
from lmflow.plugins import Plugin
from tests.support.overviews import make_host, make_overview, make_vm
from tests.support.snapshots import GOOD, with_b

Install = Callable[..., None]
OBJECTION = Finding(rule="whatever", code="LICENSED", message="no licence there", remedy="buy one", elsewhere=False)


def say_yes(snapshot: Snapshot) -> Iterable[Finding]:
    """Is it fine?"""
    return ()


def make_rule(check: Any = say_yes, **fields: Any) -> checks.Rule:
    return checks.Rule(**{"name": "acme.licence", "check": check, **fields})


def make_plugin(value: Any, name: str = "acme.licence", **fields: Any) -> Plugin:
    told = {"source": "acme.rules:LICENCE", "distribution": "acme 1.0", "is_ours": False, **fields}
    return Plugin(name, value, **told)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Add plugins to those that are installed."""
    ours = tuple(p for p in plugins.load_plugins(registry.NAMESPACE) if p.is_ours)

    def add(*added: Plugin, only: bool = False) -> None:
        monkeypatch.setattr(plugins, "load_plugins", lambda namespace: added if only else (*added, *ours))

    return add


def fail(install: Install, plugin: Plugin, site: Site = Site(plugin_seconds=5.0)) -> str:  # noqa: B008 - frozen
    """Return why a plugin could not be asked; its finding refuses, names it, and stands alone."""
    install(plugin)
    (finding,) = checks.check_all(GOOD, site)
    assert (finding.rule, finding.code, finding.elsewhere) == (plugin.name, "RULE_FAILED", False)
    assert checks.find_refusals([finding]) == (finding,)
    assert plugin.distribution in finding.message
    assert f"disabled = {plugin.name}" in finding.remedy
    assert checks.check_all(GOOD, dataclasses.replace(site, rules_off=(plugin.name,))) == ()
    return finding.message


def test_a_rule_of_a_site_is_asked_in_its_place_and_what_is_known_of_it_is_stamped(install: Install) -> None:
    install(make_plugin(make_rule(lambda snapshot: [OBJECTION], order=405, warning=True)))
    found = checks.check_all(with_b(live=False, enabled=False))
    assert [f.rule for f in found] == ["host.live", "acme.licence", "host.enabled"]
    assert (found[1].warning, found[1].elsewhere, found[1].message) == (True, True, "no licence there")
    assert [f.rule for f in checks.check_group("site", GOOD)] == ["acme.licence"]


@pytest.mark.parametrize(("group", "place"), [("cpu", "cpu"), ("site", "site"), ("licences", "site")])
def test_a_group_that_no_validation_has_is_the_sites(install: Install, group: str, place: str) -> None:
    install(make_plugin(make_rule(lambda snapshot: [OBJECTION], group=group)))
    assert [name for name in (*checks.GROUPS, checks.SITE) if checks.check_group(name, GOOD)] == [place]
    assert checks.find_rules_for(Site()).count(place) == 1 + sum(r.place == place for r in registry.find_our_rules())


def test_a_rule_may_warn_of_one_thing_and_refuse_another(install: Install) -> None:
    found = [OBJECTION, dataclasses.replace(OBJECTION, warning=True)]
    install(make_plugin(make_rule(lambda snapshot: iter(found), forced=True)))
    told = checks.check_all(GOOD)
    assert [f.warning for f in told] == [False, True]
    assert (len(checks.find_refusals(told)), len(checks.find_refusals(told, strict=True))) == (1, 2)
    forced = checks.check_all(dataclasses.replace(GOOD, terms=dataclasses.replace(GOOD.terms, force=True)))
    assert all(f.forced for f in forced)
    assert checks.find_refusals(forced, strict=True) == ()


def test_one_that_raises_is_told_with_its_name(install: Install) -> None:
    def divide(snapshot: Snapshot) -> Iterator[Finding]:
        yield OBJECTION
        raise ZeroDivisionError("no host counted")

    told = fail(install, make_plugin(make_rule(divide)))
    assert "failed with ZeroDivisionError" in told
    assert "no host counted" not in told, "it may hold a secret, and findings are stored"
    assert "SystemExit" in fail(install, make_plugin(make_rule(lambda snapshot: exit())))


def test_one_that_hangs_is_left_behind_and_not_asked_for_each_host(install: Install) -> None:
    asked, over = [], threading.Event()

    def wait(snapshot: Snapshot) -> Iterator[Finding]:
        asked.append(snapshot.destination_uuid)
        over.wait(60)
        yield from ()

    site = Site(plugin_seconds=0.05)
    try:
        assert "has not answered within 0.05 s" in fail(install, make_plugin(make_rule(wait)), site)
        asked.clear()
        pool = make_overview([make_host(name) for name in "abcd"], [make_vm("v", "a")])
        verdicts = checks.check_hosts(pool, "uuid-v", site=site)
        assert [[f.code for f in v.findings] for v in verdicts] == [[], *[["RULE_FAILED"]] * 3]
        assert asked == ["uuid-b"]
    finally:
        over.set()


def test_one_that_raises_about_one_host_is_asked_about_the_others(install: Install) -> None:
    def stumble(snapshot: Snapshot) -> tuple[Finding, ...]:
        if snapshot.destination_uuid == "uuid-b":
            raise KeyError("b")
        return ()

    install(make_plugin(make_rule(stumble)))
    pool = make_overview([make_host(name) for name in "abc"], [make_vm("v", "a")])
    assert [v.ok for v in checks.check_hosts(pool, "uuid-v")] == [False, False, True]


NONSENSE = {
    "None": (None, "TypeError"),
    "a number": (42, "TypeError"),
    "words": ("no", "a str, which is no Finding"),
    "a dict": ([{"code": "X"}], "a dict, which is no Finding"),
    "a finding among others": ([OBJECTION, None], "a NoneType, which is no Finding"),
    "a message of bytes": ([dataclasses.replace(OBJECTION, message=b"no")], "message is not usable"),
    "a code that is none": ([dataclasses.replace(OBJECTION, code="")], "code or warning is not usable"),
    "a warning in words": ([dataclasses.replace(OBJECTION, warning="yes")], "code or warning is not usable"),
    "no end of them": (itertools.repeat(OBJECTION), "more than 1000 findings"),
}


@pytest.mark.parametrize(("answer", "because"), NONSENSE.values(), ids=NONSENSE)
def test_one_that_answers_nonsense_is_told_with_its_name(install: Install, answer: Any, because: str) -> None:
    assert because in fail(install, make_plugin(make_rule(lambda snapshot: answer)))


NO_RULES = {
    "nothing": (None, "it is no Rule but a NoneType"),
    "a function": (say_yes, "it is no Rule but a function"),
    "a class": (checks.Rule, "it is no Rule but a type"),
    "another name": (make_rule(name="acme.license"), "calls itself acme.license"),
    "an order in words": (make_rule(order="first"), "field order is not usable"),
    "an order that is none": (make_rule(order=math.nan), "field order is not usable"),
    "a check that cannot be called": (make_rule("yes"), "field check is not usable"),
    "a group that is none": (make_rule(group=None), "field group is not usable"),
    "codes that are numbers": (make_rule(codes=(7,)), "field codes is not usable"),
    "codes in a list": (make_rule(codes=["LICENSED"]), "field codes is not usable"),
}


@pytest.mark.parametrize(("value", "because"), NO_RULES.values(), ids=NO_RULES)
def test_what_is_no_rule_is_told_with_its_name(install: Install, value: Any, because: str) -> None:
    assert because in fail(install, make_plugin(value))
    (source,) = (s for s in checks.find_sources(Site()) if s.name == "acme.licence")
    assert (source.state, source.group, source.codes) == ("failed", "site", ())
    assert because in source.error
    assert "acme.licence" not in {rule.name for rule in checks.find_rules()}


def test_what_cannot_be_loaded_is_told_with_its_name(install: Install) -> None:
    assert "ImportError: no acme" in fail(install, make_plugin(None, error="ImportError: no acme"))


def test_a_broken_rule_is_a_reason_that_holds_anywhere(install: Install) -> None:
    install(make_plugin(None, error="ImportError: no acme"))
    pool = make_overview([make_host("a"), make_host("b")], [make_vm("v", "a")])
    (finding,) = checks.check_anywhere(pool, "uuid-v")
    assert finding.code == "RULE_FAILED"
    assert [finding in v.findings for v in checks.check_hosts(pool, "uuid-v")] == [False, True]


def test_a_rule_of_a_site_does_not_take_the_place_of_ours(install: Install) -> None:
    install(make_plugin(make_rule(name="host.live"), name="host.live"))
    found = checks.check_all(with_b(live=False))
    assert [(f.rule, f.code) for f in found] == [("host.live", "HOST_NOT_LIVE"), ("host.live", "RULE_FAILED")]
    assert "another rule called host.live" in found[1].message
    assert "disabled" not in found[1].remedy, "that would switch off ours too"
    assert [s.state for s in checks.find_sources(Site()) if s.name == "host.live"] == ["on", "failed"]


def test_two_packages_with_one_name_are_told(install: Install) -> None:
    install(make_plugin(make_rule()), make_plugin(make_rule(), distribution="other 2.0"))
    (finding,) = checks.check_all(GOOD)
    assert "other 2.0" in finding.message


def test_a_rule_can_be_switched_off_by_its_name_only(install: Install) -> None:
    dead = with_b(live=False)
    assert [f.rule for f in checks.check_all(dead)] == ["host.live"]
    off = Site(rules_off=("host.live",))
    assert checks.check_all(dead, off) == checks.check_group("host", dead, off) == ()
    assert {s.name for s in checks.find_sources(off) if s.state == "off"} == {"host.live"}
    for ask in (checks.find_rules_for, checks.find_sources):
        with pytest.raises(ConfigurationError, match=r"no rule is called 'host\.alive'") as error:
            ask(Site(rules_off=("host.live", "host.alive")))
        assert "host.live" in error.value.candidates


def test_sources_say_where_each_comes_from(install: Install) -> None:
    install(make_plugin(make_rule(codes=("LICENSED",), order=1)))
    first, second, *rest = checks.find_sources(Site())
    told = (first.source, first.distribution, first.state, first.codes, first.error)
    assert told == ("acme.rules:LICENCE", "acme 1.0", "on", ("LICENSED",), "")
    assert (second.name, second.source) == ("pool.role", "lmflow.checks.role:ROLE")
    assert second.distribution.startswith("lmflow ")
    assert [s.order for s in rest] == sorted(s.order for s in rest)
    assert [r.name for r in checks.find_rules()] == [s.name for s in (first, second, *rest)]
    assert "acme.licence" not in {rule.name for rule in registry.find_our_rules()}


def test_without_our_own_rules_nothing_is_judged(install: Install) -> None:
    install(only=True)
    with pytest.raises(PluginError, match="not installed"):
        checks.check_all(GOOD)


def test_a_rule_says_in_one_line_what_it_asks() -> None:
    assert make_rule().summary == "Is it fine?"
    assert make_rule(lambda snapshot: ()).summary == ""
    finding = make_rule(codes=("FIRST", "SECOND"), remedy="pay").object_to("no", code="SECOND")
    assert (finding.code, finding.remedy) == ("SECOND", "pay")


def test_an_import_that_hangs_or_ends_takes_nothing_with_it_and_only_what_is_named_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    modules = {
        "good": "hook = print",
        "unasked": "hook = print",
        "ending": "raise SystemExit(0)",
        "hanging": "import threading\nthreading.Event().wait(600)",
        "telling": "raise ValueError('https://ann:secret@example.com')",
    }
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", encoding="utf-8")
    entries = "\n".join(f"{name} = acme_{name}:hook" for name in modules)
    (info / "entry_points.txt").write_text(f"[acme.hooks]\n{entries}\n", encoding="utf-8")
    for name, text in modules.items():
        (tmp_path / f"acme_{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "LOAD_SECONDS", 0.2)
    assert plugins.get_plugin("acme.hooks", "good").value is print
    assert "acme_unasked" not in sys.modules
    for name, why in {
        "ending": "SystemExit",
        "hanging": "it has not been loaded within",
        "telling": "ValueError",
    }.items():
        with pytest.raises(PluginError, match=f"{name} of acme 1.0 cannot be loaded: {why}") as error:
            plugins.get_plugin("acme.hooks", name)
        assert "secret" not in error.value.message
