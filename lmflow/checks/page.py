"""lmflow's own rules as a page of the documentation.

``doc/source/rules.md`` is this page. To write it anew:

    python -c "import pathlib; from lmflow.checks import page; pathlib.Path('doc/source/rules.md').write_text(
    page.render(), encoding='utf-8')"
"""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.registry import find_our_rules
from lmflow.checks.rule import Rule

_HEAD = """\
# Rules

What `lmflow check` asks, and `lmflow migrate` asks again before anything is changed, in the order in which XAPI would
object; what XAPI does not ask comes last. This page is made from the registry of rules (the namespace `lmflow.checks`);
a site's own rules are not on it: `lmflow check --sources` lists them too. A rule is switched off by its name:
`disabled` in `[checks]` of the configuration.

- *Elsewhere*: another host might do better. Otherwise the reason holds whatever the destination.
- *Force*: with `--force` XAPI skips its own check, and the finding is told as overridden.
- *Warning*: it refuses nothing, unless `--strict` is given.

The codes are explained by `lmflow explain CODE`, and among [all codes](errors.md).

## A rule of your own

A rule is a function from a snapshot (`lmflow.models.Snapshot`) to findings, and what is to be known of it:

```python
from lmflow.checks import Rule


def check_owner(snapshot):
    "Is the VM none of the accounting's, which moves its own?"
    if snapshot.vm.name_label.startswith("acc-"):
        yield OWNER.object_to(f"{snapshot.vm.name_label} belongs to the accounting")


OWNER = Rule(
    name="acme.owner",
    check=check_owner,
    codes=("VM_OF_ACCOUNTING",),
    remedy="ask the accounting",
    elsewhere=False,
)
```

An entry point of the same name in the package's metadata makes it known, in `setup.cfg` under `[options.entry_points]`:

```text
lmflow.checks =
    acme.owner = acme.rules:OWNER
```

It is asked by the step `validate_site`, or with the group that its `group` names. It must change nothing and be quick:
it is asked for each VM and host, each time within `timeout` of `[checks]`. One that cannot be loaded, raises, takes too
long or answers what is no finding refuses the migration (`RULE_FAILED`) and is named. `order` is its place among the
others (1000 unless given), `elsewhere=False` says that no other host could do better (then it must not look at the
destination), `warning=True` that it refuses nothing, `forced=True` that `--force` overrides it.
"""


def render() -> str:
    """Return the page in Markdown."""
    return "\n".join((_HEAD, *(line for rule in find_our_rules() for line in _render_rule(rule))))


def _render_rule(rule: Rule) -> Iterator[str]:
    yield f"## `{rule.name}`\n"
    yield f"{rule.summary}\n"
    yield f"- Code: {', '.join(f'`{code}`' for code in rule.codes)}"
    yield f"- Remedy: {rule.remedy}"
    yield f"- Elsewhere: {'yes' if rule.elsewhere else 'no, the reason holds for every host'}"
    if rule.forced:
        yield "- Force: overridden by `--force`"
    if rule.warning:
        yield "- Warning: it refuses only with `--strict`"
    yield f"- Reads: {', '.join(rule.needs)}\n"
