"""The whole catalogue as a page of the documentation.

``doc/source/errors.md`` is this page. To write it anew:

    python -c "import pathlib; from lmflow.catalogue import page; pathlib.Path('doc/source/errors.md').write_text(
    page.render(), encoding='utf-8')"
"""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.catalogue.entry import Entry, Family
from lmflow.catalogue.lookup import ENTRIES

_HEAD = """\
# Codes

What `lmflow explain CODE` says, of all codes. This page is made from `lmflow/catalogue`; words in capitals
inside a command stand for what you fill in.
"""


def render() -> str:
    """Return the page in Markdown."""
    return "\n".join((_HEAD, *(line for family in Family for line in _render_family(family))))


def _render_family(family: Family) -> Iterator[str]:
    yield f"## {family.value}\n"
    for entry in ENTRIES:
        if entry.family is family:
            yield from _render_entry(entry)


def _render_entry(entry: Entry) -> Iterator[str]:
    yield f"### `{entry.code}`\n"
    yield f"**{entry.title}.** {entry.meaning}\n"
    yield f"- Causes: {entry.cause}"
    yield f"- The VM: {entry.vm_state}"
    yield f"- Remedy: {entry.remedy} `{entry.command}`"
    if entry.params:
        yield f"- Parameters: {', '.join(entry.params)}"
    yield f"- Source: {entry.source}\n"
