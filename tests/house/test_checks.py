"""Each rule is registered, by name, as everybody else's is: explicitly, by an entry point."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import inspect
import pathlib
import pkgutil
import re

from lmflow import checks
from lmflow.models import Snapshot


def _find_made() -> dict[str, checks.Rule]:
    """Return the rules that stand in our modules, by where they stand."""
    made = {}
    for found in pkgutil.iter_modules(checks.__path__, "lmflow.checks."):
        for name, value in vars(importlib.import_module(found.name)).items():
            if isinstance(value, checks.Rule):
                made[f"{found.name}:{name}"] = value
    return made


def test_every_rule_of_ours_is_an_entry_point_and_every_entry_point_a_rule_of_its_name() -> None:
    made = _find_made()
    entries = importlib.metadata.distribution("lmflow").entry_points.select(group="lmflow.checks")
    assert {entry.value: entry.name for entry in entries} == {where: rule.name for where, rule in made.items()}
    assert len(made) > 40


def test_every_rule_says_what_is_to_be_known_of_it() -> None:
    parts = {field.name for field in dataclasses.fields(Snapshot)}
    for where, rule in _find_made().items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", rule.name), where
        assert rule.group in checks.GROUPS, where
        assert rule.codes, where
        assert rule.remedy, where
        assert set(rule.needs) <= parts, where
        assert rule.needs, where
        assert "?" in rule.summary, where


def test_no_two_rules_have_one_place() -> None:
    orders = [rule.order for rule in _find_made().values()]
    assert len(orders) == len(set(orders))


def test_a_rule_whose_reason_holds_for_every_host_does_not_look_at_the_destination() -> None:
    for where, rule in _find_made().items():
        if not rule.elsewhere:
            assert "destination" not in inspect.getsource(rule.check).partition('"""\n')[2], where


def test_the_common_path_knows_the_registry_only(root: pathlib.Path) -> None:
    """No other room names a module of rules: what is asked of checks is asked of the registry."""
    rules = "|".join(sorted({rule.group for rule in _find_made().values()}))
    named = re.compile(rf"from lmflow\.checks\.({rules})\b|from lmflow\.checks import .*\b({rules})\b")
    others = (p for p in (root / "lmflow").rglob("*.py") if p.parent.name != "checks")
    assert [str(p) for p in others if named.search(p.read_text(encoding="utf-8"))] == []
