"""The page of rules is the registry's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lmflow import checks
from lmflow.checks import page
from lmflow.checks.registry import find_fault
from tests.support.snapshots import GOOD, with_vm

ROOT = Path(__file__).parents[3]


def test_the_page_in_the_documentation_is_the_registry() -> None:
    written = (ROOT / "doc" / "source" / "rules.md").read_text(encoding="utf-8")
    assert written == page.render(), f"it has to be made anew; the command stands in {page.__name__}"


def test_the_page_says_of_each_rule_what_is_to_be_known() -> None:
    sections = page.render().split("\n## `")[1:]
    rules = [rule for rule in checks.find_rules() if f"`{rule.name}`" in page.render()]
    assert len(sections) == len(rules) > 40
    for text, rule in zip(sections, rules, strict=True):
        assert text.startswith(f"{rule.name}`\n\n{rule.summary}\n")
        assert all(f"`{code}`" in text for code in rule.codes)
        assert rule.remedy in text
        assert ("overridden by `--force`" in text) is rule.forced
        assert ("only with `--strict`" in text) is rule.warning
        assert ("holds for every host" in text) is not rule.elsewhere


def test_the_example_is_a_rule() -> None:
    (source,) = re.findall(r"^```python\n(.+?)^```", page.render(), re.M | re.S)
    made: dict[str, Any] = {}
    exec(source, made)  # noqa: S102 - what the page shows has to work
    rule = made["OWNER"]
    assert find_fault("acme.owner", rule) == ""
    assert "acme.owner = acme.rules:OWNER" in page.render()
    theirs = rule.check(with_vm(name_label="acc-01"))
    assert [(f.code, f.message) for f in theirs] == [("VM_OF_ACCOUNTING", "acc-01 belongs to the accounting")]
    assert list(rule.check(GOOD)) == []
