"""Every code that lmflow can show has an entry, and no entry says more than is known."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmflow import checks
from lmflow.catalogue import ENTRIES, Entry, Family, find_entries, find_near, page
from lmflow.catalogue.entry import NOT_TAKEN as SAYS_NOT_TAKEN
from lmflow.catalogue.entry import NOTHING_BEGAN
from lmflow.checks import answer
from lmflow.cli.exits import Exit
from lmflow.cli.main import LmflowApp
from lmflow.models import RunState, XapiError
from lmflow.tasks.submit_pool_migrate import NOT_TAKEN
from lmflow.verdict import ORDERED_CODES, VerdictKind, is_ordered
from lmflow.xapi import failures

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "lmflow"
# Where XAPI's codes are spelled, or findings are made.
ROOMS = ("api", "checks", "planner", "runner", "tasks", "verdict", "xapi")
OF_XAPI = (Family.REFUSED, Family.DOOR, Family.MOVING, Family.PREPARING, Family.ASIDE)
CODES = {entry.code for entry in ENTRIES}


def _own_codes(tree: ast.Module) -> Iterator[str]:
    """Yield what is given to a call as ``code="..."`` or ``codes=("...",)``, or stands as ``code`` in a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = [word.value for word in node.keywords if word.arg in ("code", "codes")]
            values = [part for value in given for part in (value.elts if isinstance(value, ast.Tuple) else [value])]
        elif isinstance(node, ast.ClassDef):
            assigned = (n for n in node.body if isinstance(n, ast.Assign))
            values = [n.value for n in assigned if any(isinstance(t, ast.Name) and t.id == "code" for t in n.targets)]
        else:
            continue
        yield from (v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))


def _spelled_codes(tree: ast.Module) -> Iterator[str]:
    """Yield every text that looks like a code of XAPI, capitals joined by underscores, but no name in ``__all__``."""
    nodes = (n for n in tree.body if not (isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"))
    walked = (part for node in nodes for part in ast.walk(node))
    texts = (n.value for n in walked if isinstance(n, ast.Constant) and isinstance(n.value, str))
    yield from (text for text in texts if re.fullmatch(r"[A-Z][A-Z0-9]+(_[A-Z0-9]+)+", text))


def _trees(*places: Path) -> list[ast.Module]:
    files = [f for place in places for f in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    return [ast.parse(file.read_text(encoding="utf-8")) for file in files if "alembic" not in file.parts]


def test_every_code_that_lmflow_gives_has_an_entry() -> None:
    outside = ("catalogue", "simulator")
    places = [place for place in PACKAGE.iterdir() if place.name not in outside and place.suffix in ("", ".py")]
    given = {code for tree in _trees(*places) for code in _own_codes(tree)}
    assert {"USAGE", "REQUEST_EXISTS", "HOST_NOT_IN_POOL", "VM_REQUIRES_KERNEL"} <= given, "the search sees nothing"
    assert sorted(given - CODES) == []


def test_every_code_that_is_spelled_where_the_pool_is_judged_has_an_entry() -> None:
    places = [p for p in (PACKAGE / name for name in ROOMS) if p.exists()]
    spelled = {code for tree in _trees(*places) for code in _spelled_codes(tree)}
    assert {"VM_MOVED", "HOST_DISABLED", "SESSION_AUTHENTICATION_FAILED", "VM_IS_SNAPSHOT"} <= spelled
    assert sorted(spelled - CODES) == []


def test_every_code_that_has_a_meaning_for_lmflow_has_an_entry() -> None:
    known = {*ORDERED_CODES, *NOT_TAKEN, *failures.CURED_BY_LOGIN, *failures.GONE, *answer.SUBJECT}
    assert checks.GROUPS
    assert sorted(known - CODES) == []


def test_every_state_verdict_and_exit_code_has_an_entry() -> None:
    states = {state.value.upper() for state in RunState}
    verdicts = {kind.value.upper().replace("_", "-") for kind in VerdictKind}
    assert not {*states, *verdicts, "INTERRUPTED", "CANNOT-SAY", *(str(int(code)) for code in Exit)} - CODES


def test_the_searches_see_each_form() -> None:
    tree = ast.parse(
        'class E:\n    code = "AA_BB"\nFinding(rule="x", code="CC_DD")\n'
        'Rule(codes=("II_JJ",))\nx = (("EE_FF", 1),)\n__all__ = ["GG_HH"]'
    )
    assert set(_own_codes(tree)) == {"AA_BB", "CC_DD", "II_JJ"}
    assert set(_spelled_codes(tree)) == {"AA_BB", "CC_DD", "EE_FF", "II_JJ"}


def _is_complete(entry: Entry) -> bool:
    sentences = (entry.meaning, entry.cause, entry.vm_state, entry.remedy)
    texts = (entry.code, entry.title, entry.command, entry.source, *sentences)
    plain = all(text and text == " ".join(text.split()) for text in texts)
    return plain and all(text.endswith(".") for text in sentences) and not entry.title.endswith(".")


def test_no_entry_is_empty() -> None:
    assert [entry.code for entry in ENTRIES if not _is_complete(entry)] == []


def test_every_command_of_lmflow_that_is_recommended_exists() -> None:
    commands = {entry.command for entry in ENTRIES} - {"lmflow --help"}
    assert {command.split()[0] for command in commands} == {"lmflow", "xe"}
    manager = LmflowApp().command_manager
    for command in sorted(command for command in commands if command.startswith("lmflow ")):
        manager.find_command(command.split()[1:])


def test_every_file_of_ours_that_is_named_as_a_source_exists() -> None:
    named = {name for entry in ENTRIES for name in re.findall(r"lmflow/[\w/.]+", entry.source)}
    assert named
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_codes_of_xapi_are_those_of_its_data_model_with_its_names_of_parameters() -> None:
    known = json.loads((ROOT / "tests" / "data" / "xapi-errors" / "errors.json").read_text(encoding="utf-8"))
    ours = {entry.code: entry.params for entry in ENTRIES if entry.family in OF_XAPI}
    assert ours == {code: tuple(known[code] or ()) for code in ours}
    assert not [e.code for e in ENTRIES if e.family not in OF_XAPI and (e.params or e.code in known)]


def test_an_entry_says_that_nothing_began_exactly_where_the_verdict_holds_it_proved() -> None:
    said = {entry.code for entry in ENTRIES if entry.vm_state == NOTHING_BEGAN}
    assert said
    assert not [code for code in said if not is_ordered(XapiError(code, ()))]
    # Of a host that is dead nobody can say that its VM still runs.
    assert ORDERED_CODES - said == {"HOST_OFFLINE"}


def test_an_entry_says_that_a_submit_was_not_taken_exactly_where_it_is_sent_again() -> None:
    assert {entry.code for entry in ENTRIES if SAYS_NOT_TAKEN in entry.vm_state} == NOT_TAKEN


def test_codes_on_the_way_are_none_that_settle_anything() -> None:
    assert not [e.code for e in ENTRIES if e.family is Family.MOVING and e.code in ORDERED_CODES | NOT_TAKEN]


def test_no_two_entries_answer_to_one_name() -> None:
    assert [entry.code for entry in ENTRIES if find_entries(entry.code) != (entry,)] == []


@pytest.mark.parametrize("text", ["VM_REQUIRES_SR", "vm-requires-sr", " Vm requires_SR ", "vm_requires_s"])
def test_an_entry_is_found_however_it_is_written(text: str) -> None:
    assert [entry.code for entry in find_entries(text)] == ["VM_REQUIRES_SR"]


def test_a_whole_code_counts_before_the_codes_that_begin_so() -> None:
    assert [entry.code for entry in find_entries("1")] == ["1"]
    assert [entry.code for entry in find_entries("13")] == ["130"]
    assert [entry.code for entry in find_entries("re_attach")] == ["RE-ATTACH"]


def test_a_prefix_of_several_codes_finds_all_of_them() -> None:
    found = [entry.code for entry in find_entries("vm_requires")]
    assert len(found) == 7
    assert all(code.startswith("VM_REQUIRES_") for code in found)
    assert find_entries("") == ()
    assert find_entries("no such code") == ()


def test_a_misspelt_code_has_candidates_the_closest_first() -> None:
    assert find_near("VM_REQIRES_SR")[0] == "VM_REQUIRES_SR"
    assert "CANNOT_CONTACT_HOST" in find_near("contact")
    assert find_near("xyzzy") == ()


def test_the_page_in_the_documentation_is_the_catalogue() -> None:
    written = (ROOT / "doc" / "source" / "errors.md").read_text(encoding="utf-8")
    assert written == page.render(), f"it has to be made anew; the command stands in {page.__name__}"
    assert not [entry.code for entry in ENTRIES if f"### `{entry.code}`\n" not in written]
