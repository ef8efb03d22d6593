"""XAPI's view of a VM against what its hosts say, and the step that may be named."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from lmflow.models import VM, Host, WitnessView, XenopsTask
from lmflow.verdict.view import Sighting, judge_view, needs_restart

HOSTS = tuple(
    Host(uuid=name.lower(), name_label=name, address=name, enabled=True, live=True, is_coordinator=name == "A")
    for name in ("A", "B", "C")
)


def see(shown: str, *runs_on: str, silent: str = "", **more: Any) -> Sighting:
    """``shown``: a host (Running there), a power state without a host, or 'gone'."""
    running = shown in ("A", "B", "C")
    vm = VM(
        uuid="u",
        name_label="v",
        power_state="Running" if running else shown,
        resident_on_uuid=shown.lower() if running else None,
        scheduled_to_be_resident_on_uuid=None,
    )
    witness = tuple(
        WitnessView(
            h.uuid, answered=h.name_label not in silent, power_state="Running" if h.name_label in runs_on else None
        )
        for h in HOSTS
    )
    told = {"settled": True, "strays": (), **more}
    return Sighting(vm_uuid="u", vm_name="v", vm=None if shown == "gone" else vm, hosts=HOSTS, witness=witness, **told)


@pytest.mark.parametrize(
    ("seen", "kind", "step"),
    [
        (see("A", "A"), "", ""),
        (see("Halted"), "", ""),
        (see("gone"), "", ""),
        (see("Halted", "B"), "halted_but_running", "xe vm-start uuid=u on=B"),
        (see("Suspended", "B"), "halted_but_running", ""),
        (see("A"), "ghost", "xe vm-reset-powerstate uuid=u --force"),
        (see("B"), "ghost", "xe-toolstack-restart"),
        (see("A", "B"), "misplaced", "xe vm-reset-powerstate uuid=u --force"),
        (see("B", "A"), "misplaced", "xe-toolstack-restart"),
        (see("gone", "B"), "unlisted", ""),
        (see("A", "A", "B"), "twice", ""),
        (see("Halted", "A", "B"), "twice", ""),
        (see("B", silent="C"), "unproved", ""),
        (see("B", silent="B"), "", ""),
        (see("B", silent="ABC", doubted=True), "unproved", ""),
        (see("Halted", silent="A", doubted=True), "unproved", ""),
        (see("Halted", "B", silent="C"), "halted_but_running", ""),
        (see("B", "A", silent="B"), "misplaced", ""),
    ],
)
def test_a_view_and_its_step(seen: Sighting, kind: str, step: str) -> None:
    view = judge_view(seen)
    assert (view.kind if view else "", view.step if view else "") == (kind, step)
    if view is not None:
        assert view.proof
        assert bool(view.where) is bool(step)


@pytest.mark.parametrize("shown", ["Halted", "A", "B"])
def test_no_step_is_named_before_the_pool_has_settled(shown: str) -> None:
    view = judge_view(see(shown, "C", settled=False))
    assert view is not None
    assert not view.step
    assert "settled" in " ".join(view.proof)


@pytest.mark.parametrize(
    ("more", "word"), [({"strays": ("w",)}, "w"), ({"strays": None}, "did not say"), ({"strays": ()}, "")]
)
def test_a_toolstack_is_not_restarted_where_that_would_end_another_vm(more: dict[str, Any], word: str) -> None:
    view = judge_view(see("B", **more))
    assert view is not None
    assert bool(view.step) is not bool(word)
    assert word in " ".join(view.proof)


def test_a_toolstack_is_not_restarted_under_its_own_work() -> None:
    seen = see("B")
    busy = XenopsTask(label="Async.VM.pool_migrate", ref_digits="0" * 12, state="Pending")
    witness = tuple(dataclasses.replace(w, tasks=(busy,) if w.host_uuid == "b" else ()) for w in seen.witness)
    view = judge_view(dataclasses.replace(seen, witness=witness))
    assert view is not None
    assert not view.step


def test_only_a_step_on_a_member_needs_its_other_vms_to_be_asked_for() -> None:
    assert needs_restart(see("B", strays=None, settled=False))
    assert not needs_restart(see("A", strays=None))
    assert not needs_restart(see("Halted", "B", strays=None))
    assert not needs_restart(see("B", silent="C", strays=None))


def test_what_is_under_way_is_not_judged() -> None:
    seen = see("Halted", "B")
    assert seen.vm is not None
    busy = dataclasses.replace(seen.vm, current_operations=("pool_migrate",))
    assert judge_view(dataclasses.replace(seen, vm=busy)) is None
    arriving = tuple(dataclasses.replace(w, incoming=w.host_uuid == "c") for w in seen.witness)
    assert judge_view(dataclasses.replace(seen, witness=arriving)) is None


@pytest.mark.parametrize("shown", ["A", "B", "C", "Halted", "Suspended", "gone"])
def test_a_step_never_starts_a_vm_but_where_it_runs(shown: str) -> None:
    """Whatever is seen: a start is named only where every host was heard, and only on the one host that runs it."""
    for there in (names for n in range(4) for names in itertools.combinations("ABC", n)):
        for silent in ("", "A", "B", "C", "ABC"):
            for settled in (True, False):
                seen = see(shown, *(t for t in there if t not in silent), silent=silent, settled=settled)
                view = judge_view(seen)
                if view is None or not view.step:
                    continue
                assert settled
                assert not silent
                assert len(there) <= 1
                if view.step.startswith("xe vm-start"):
                    assert view.step.endswith(f"on={there[0]}")


def test_a_host_whose_name_is_not_its_own_is_named_by_its_uuid() -> None:
    seen = see("Halted", "B")
    for name in ("A", "B b", "B;"):
        hosts = tuple(dataclasses.replace(h, name_label=name) if h.uuid == "b" else h for h in HOSTS)
        view = judge_view(dataclasses.replace(seen, hosts=hosts))
        assert view is not None
        assert view.step.endswith("on=b")
