"""The page of verdicts is the table's."""

from __future__ import annotations

from pathlib import Path

from lmflow.verdict import VerdictKind, page
from lmflow.verdict.table import TABLE

ROOT = Path(__file__).parents[3]


def test_the_page_in_the_documentation_is_the_table() -> None:
    written = (ROOT / "doc" / "source" / "verdicts.md").read_text(encoding="utf-8")
    assert written == page.render(), f"it has to be made anew; the command stands in {page.__name__}"


def test_the_page_says_of_each_row_what_is_to_be_known() -> None:
    sections = page.render().split("\n## ")[1:-1]
    assert [text.partition("\n")[0] for text in sections] == [row.name for row in TABLE]
    for text, row in zip(sections, TABLE, strict=True):
        assert f"**{page.say_kind(row.kind)}**" in text
        assert page.FOLLOWS[row.kind] in text
        assert row.rests_on in text
        assert all(f"- `{name}` is " in text for name in row.when)


def test_what_follows_is_said_of_every_verdict() -> None:
    assert set(page.FOLLOWS) == set(VerdictKind)
