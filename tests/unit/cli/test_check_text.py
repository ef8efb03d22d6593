"""A check as people read it: at most 80 columns, every reason once, whatever the pool's size and the names in it."""

from __future__ import annotations

import dataclasses

from lmflow.cli.matrix import tell_check
from lmflow.models import CheckReport, Finding, HostVerdict, Place, VmCheck

GIB = 1024**3


def refuse(
    host: str, rule: str = "sr.reach", message: str = 'disk "data" is on SR "ssd", which {} cannot reach'
) -> Finding:
    return Finding(rule, "VM_REQUIRES_SR", message.format(host), "move the disk")


def verdict(host: str, *findings: Finding, present: bool = False) -> HostVerdict:
    return HostVerdict(f"uuid-{host}", host, present, not (present or findings), findings, 3 * GIB)


def check(name: str, *hosts: HostVerdict, **fields: object) -> VmCheck:
    made = VmCheck(
        uuid=name, name=name, power_state="Running",
        host=next((Place(h.host_uuid, h.host_name) for h in hosts if h.present), None),
        memory_bytes=2 * GIB, operations=(), can_move=any(h.ok for h in hosts), findings=(),
        would_work=tuple(Place(h.host_uuid, h.host_name) for h in hosts if h.ok), hosts=hosts,
    )  # fmt: skip
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


def tell(*vms: VmCheck, to: str = "") -> list[str]:
    place = Place(f"uuid-{to}", to) if to else None
    report = CheckReport(pool=Place("p", "lab"), observed_at="", asked_pool=True, to=place, vms=vms)
    lines = list(tell_check(report))
    assert all(len(line) <= 80 and line.isprintable() for line in lines)
    return lines


HERE = verdict("host-00", present=True)


def test_one_vm() -> None:
    assert tell(check("web", HERE, verdict("b"), verdict("c", refuse("c")))) == [
        "web (2 GiB, running on host-00): can move to 1 of 2 hosts, nothing was changed",
        '  x sr       disk "data" is on SR "ssd", which c cannot reach  [VM_REQUIRES_SR]',
        "             move the disk; lmflow explain VM_REQUIRES_SR",
        "  hosts that would work: b (3 GiB left)",
    ]


def test_the_same_reason_of_several_hosts_stands_once_with_all_their_names() -> None:
    lines = tell(check("web", HERE, *(verdict(name, refuse(name)) for name in ("b", "c", "d"))))
    assert "which each of b, c and d cannot" in " ".join(lines)
    many = [f"host-{n:02}" for n in range(1, 40)]
    text = " ".join(" ".join(tell(check("web", HERE, *(verdict(name, refuse(name)) for name in many)))).split())
    assert "which each of 39 hosts cannot" in text
    assert all(name in text for name in many)


def test_reasons_that_differ_in_more_than_the_host_stand_apart() -> None:
    other = refuse("c", message='disk "logs" is on SR "ssd", which {} cannot reach')
    lines = tell(check("web", HERE, verdict("b", refuse("b")), verdict("c", other)))
    assert sum("  x sr" in line for line in lines) == 2


def test_figures_of_memory_become_a_span() -> None:
    message = "{} has not enough: needs 2048 MiB, about FREE MiB are free"
    hosts = [
        verdict(f"h{n}", refuse(f"h{n}", "memory.estimate", message.replace("FREE", str(n * 100)))) for n in (1, 2)
    ]
    text = " ".join(" ".join(tell(check("web", HERE, *hosts))).split())
    assert "each of h1 and h2 has not enough: needs 2048 MiB, about 100..200 MiB are free" in text


def test_a_reason_of_the_vm_stands_once() -> None:
    halted = Finding("vm.power_state", "VM_BAD_POWER_STATE", "web is Halted", "start it")
    vm = check("web", verdict("b", halted), verdict("c", halted), findings=(halted,), power_state="Halted")
    lines = tell(vm)
    assert lines[0] == "web (2 GiB, halted): NO, no other host would take it, nothing was changed"
    assert sum("web is Halted" in line for line in lines) == 1


def test_a_matrix_folds_its_columns_and_merges_vms_with_the_same_reasons() -> None:
    hosts = [verdict(f"host-{n:02}", refuse(f"host-{n:02}")) for n in range(1, 12)]
    lines = tell(check("web-01", HERE, *hosts), check("web-02", HERE, *hosts))
    heads = [line.split() for line in (lines[1], lines[4])]
    assert [*heads[0], *heads[1]] == [f"host-{n:02}" for n in range(12)]
    assert [line.split() for line in (lines[2], lines[5])] == [["web-01", "here", *["NO"] * (len(heads[0]) - 1)],
                                                              ["web-01", *["NO"] * len(heads[1])]]  # fmt: skip
    assert lines[0] == "0 of 2 VMs can move, nothing was changed"
    assert "web-01, web-02:" in lines
    assert sum("[VM_REQUIRES_SR]" in line for line in lines) == 1


def test_too_many_hosts_for_a_matrix_become_lists() -> None:
    hosts = [verdict(f"host-{n:02}") for n in range(1, 63)]
    lines = tell(check("web-01", HERE, *hosts, verdict("host-63", refuse("host-63"))), check("web-02", HERE, *hosts))
    text = " ".join(" ".join(lines).split())
    assert "web-01 here host-00 NO 1: host-63 ok 62: host-01, host-02" in text


def test_names_that_a_terminal_would_obey_and_endless_ones() -> None:
    wild = check("a\x1b[31m\u202e\n" + "x" * 500, HERE, verdict("h" * 300, refuse("h" * 300)))
    assert "\\x1b[31m\\u202e\\n" in tell(wild)[0]
    tell(wild, check("b", HERE, verdict("h" * 300)))


def test_the_present_host_is_no_reason_against_and_busy_is_said() -> None:
    vm = check("web", HERE, verdict("b"), operations=("snapshot",))
    lines = tell(vm, to="host-00")
    assert "there already" in lines[0]
    assert "  busy with snapshot: a migration would wait for that" in lines


def test_the_meant_host_alone_is_judged() -> None:
    lines = tell(check("web", HERE, verdict("b"), verdict("c", refuse("c")), can_move=True), to="b")
    assert lines[0] == "web (2 GiB, running on host-00) -> b: yes, nothing was changed"
    assert not [line for line in lines if " x " in line]


def test_a_code_of_a_site_that_nothing_explains_has_no_hint() -> None:
    gap = Finding("acme.gap", "ACME_GAP", "b is too far", "ask the accounting")
    lines = tell(check("web", HERE, verdict("b", gap, dataclasses.replace(gap, message="b is away", remedy=""))))
    assert lines[2:] == [
        "  x acme     b is too far  [ACME_GAP]",
        "             ask the accounting",
        "  x acme     b is away  [ACME_GAP]",
        "  hosts that would work: none",
    ]


def test_warnings_and_what_force_overrides_stand_beside_the_reasons() -> None:
    restarted = Finding("host.restart", "TOOLSTACK_RESTARTED", "the toolstack of b restarted", "wait", warning=True)
    features = Finding("cpu.features", "VM_INCOMPATIBLE_WITH_THIS_HOST", "b lacks a feature", "", forced=True)
    place = dataclasses.replace(verdict("b"), warnings=(restarted, features))
    assert tell(check("web", HERE, place), to="b") == [
        "web (2 GiB, running on host-00) -> b: yes, nothing was changed",
        "  ! host     the toolstack of b restarted  [TOOLSTACK_RESTARTED]",
        "             wait; lmflow explain TOOLSTACK_RESTARTED",
        "  ! cpu      overridden by --force: b lacks a feature",
        "             [VM_INCOMPATIBLE_WITH_THIS_HOST]",
        "             lmflow explain VM_INCOMPATIBLE_WITH_THIS_HOST",
        "  hosts that would work: b (3 GiB left)",
    ]


def test_a_warning_that_holds_for_every_host_does_not_list_them() -> None:
    plan = Finding(
        "pool.plan", "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN", "the plan is full", "free memory", warning=True
    )
    hosts = [dataclasses.replace(verdict(f"h{n}"), warnings=(plan,)) for n in range(6)]
    lines = tell(check("web", HERE, *hosts))
    assert sum("the plan is full" in line for line in lines) == 1
    assert not [line for line in lines if "(h0, h1" in line]
    some = tell(check("web", HERE, *hosts, verdict("free")))
    assert [line for line in some if "(h0, h1" in line]
