"""A check as people read it: a line or a matrix first, then every reason once."""

from __future__ import annotations

import dataclasses
import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from lmflow.catalogue import find_entries
from lmflow.cli.errors import WIDTH
from lmflow.cli.printer import escape
from lmflow.cli.views import tell_view
from lmflow.models import CheckReport, Finding, HostVerdict, VmCheck

CHECK_COLUMNS = (
    "vm", "vm_uuid", "host", "host_uuid", "verdict", "codes", "reasons", "headroom_bytes", "asked_pool",
    "warnings",
)  # fmt: skip

_GIB = 1024**3
_NAME = 24
_NAMED = 4
_BLOCKS = 3
_HOST, _UUID = "\x00", "\x01"


def make_check_rows(report: CheckReport) -> Iterator[tuple[Any, ...]]:
    """Yield each VM on each host, or on the destination alone, under ``CHECK_COLUMNS``."""
    for vm in report.vms:
        for verdict in _select(report, vm):
            yield (
                vm.name, vm.uuid, verdict.host_name, verdict.host_uuid, _mark(verdict),
                " ".join(dict.fromkeys(f.code for f in verdict.findings)),
                "; ".join(f.message for f in verdict.findings), verdict.headroom_bytes, verdict.asked_pool,
                "; ".join(f.message for f in verdict.warnings),
            )  # fmt: skip


def tell_check(report: CheckReport) -> Iterator[str]:
    """Yield the answer, why not, and the hosts that would work; one VM in sentences, several as a matrix."""
    if len(report.vms) == 1:
        yield from _tell_one(report, report.vms[0])
    else:
        yield from _tell_many(report)
    if not report.asked_pool and any(vm.would_work for vm in report.vms):
        yield "  judged by the pool's records; --ask-pool asks XAPI itself too"


def _tell_one(report: CheckReport, vm: VmCheck) -> Iterator[str]:
    to = f" -> {_show(report.to.name)}" if report.to else ""
    yield from _fold("", f"{_describe(vm)}{to}: {_judge(report, vm)}, nothing was changed", "  ")
    yield from _tell_vm(report, vm)
    if not vm.is_shown_wrongly:
        yield from _tell_would_work(vm)


def _tell_many(report: CheckReport) -> Iterator[str]:
    able = sum(vm.can_move for vm in report.vms)
    to = f" to {_show(report.to.name)}" if report.to else ""
    yield f"{able} of {len(report.vms)} VMs can move{to}, nothing was changed"
    yield from _draw(report)
    for reasons, vms in _merge_vms(report):
        yield from _fold("", f"{', '.join(_show(vm.name) for vm in vms)}:", "  ")
        yield from reasons


def _tell_vm(report: CheckReport, vm: VmCheck) -> Iterator[str]:
    if vm.operations:
        yield from _fold("  ", f"busy with {', '.join(vm.operations)}: a migration would wait for that")
    if vm.xapi_view:
        yield from tell_view(vm.xapi_view, _wrap)
    verdicts = _select(report, vm)
    for finding in vm.findings:
        yield from _tell_reason("x", finding, finding.message, finding.remedy)
    yield from _tell_reasons("x", [(v, [f for f in v.findings if f not in vm.findings]) for v in verdicts])
    yield from _tell_reasons("!", [(v, v.warnings) for v in verdicts])


def _judge(report: CheckReport, vm: VmCheck) -> str:
    if vm.is_shown_wrongly:
        return "NO, XAPI shows it wrongly"
    if report.to and vm.host and vm.host.uuid == report.to.uuid:
        return "it is there already"
    if vm.can_move:
        others = sum(not verdict.present for verdict in vm.hosts)
        return "yes" if report.to else f"can move to {len(vm.would_work)} of {others} hosts"
    reasons = {finding for verdict in _select(report, vm) for finding in verdict.findings}
    if report.to:
        return f"NO, {len(reasons)} reason{'' if len(reasons) == 1 else 's'}"
    return "NO, no other host would take it" if reasons else "NO, the pool has no other host"


def _describe(vm: VmCheck) -> str:
    place = f" on {_show(vm.host.name)}" if vm.host else ""
    return f"{_show(vm.name)} ({_tell_size(vm.memory_bytes)}, {vm.power_state.lower()}{place})"


def _tell_would_work(vm: VmCheck) -> Iterator[str]:
    found = [v for v in vm.hosts if v.ok]
    found.sort(key=lambda v: -(v.headroom_bytes or 0))
    names = ", ".join(f"{_show(v.host_name)}{_tell_headroom(v.headroom_bytes)}" for v in found)
    yield from _fold("  hosts that would work: ", names or "none")


def _tell_size(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.3g} GiB"


def _tell_headroom(headroom_bytes: int | None) -> str:
    return "" if headroom_bytes is None else f" ({_tell_size(headroom_bytes)} left)"


def _select(report: CheckReport, vm: VmCheck) -> Sequence[HostVerdict]:
    """Return the verdicts that the request is about: all hosts, or the destination alone."""
    return [v for v in vm.hosts if report.to is None or v.host_uuid == report.to.uuid]


def _mark(verdict: HostVerdict) -> str:
    if verdict.present:
        return "here"
    return "ok" if verdict.ok else "NO"


# --- the matrix ----------------------------------------------------------------------------------------------------


def _draw(report: CheckReport) -> Iterator[str]:
    """Yield VMs x hosts, in blocks of columns; too many hosts for that become lists of names."""
    names = [_show(vm.name, _NAME) for vm in report.vms]
    left = max(map(len, names)) + 4
    heads = [_show(v.host_name, _NAME) for v in _select(report, report.vms[0])]
    width = max(4, *map(len, heads)) + 2 if heads else 6
    columns = max(1, (WIDTH - left) // width)
    if len(heads) > columns * _BLOCKS:
        yield from _list_hosts(report, names, left)
        return
    rows = [[_mark(v) for v in _select(report, vm)] for vm in report.vms]
    for start in range(0, len(heads), columns):
        block = slice(start, start + columns)
        for name, cells in zip(["", *names], [heads, *rows], strict=True):
            yield (f"  {name}".ljust(left) + "".join(cell.ljust(width) for cell in cells[block])).rstrip()


def _list_hosts(report: CheckReport, names: Sequence[str], left: int) -> Iterator[str]:
    for name, vm in zip(names, report.vms, strict=True):
        label = f"  {name}".ljust(left)
        for mark, found in itertools.groupby(sorted(vm.hosts, key=lambda v: (_mark(v) != "here", _mark(v))), _mark):
            hosts = [_show(v.host_name) for v in found]
            text = hosts[0] if mark == "here" else f"{len(hosts)}: {', '.join(hosts)}"
            yield from _fold(f"{label}{mark:<5}", text)
            label = " " * left


# --- the reasons ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Reason:
    """One finding of several hosts. ``messages`` differ by the name of their host, and in figures, only."""

    first: Finding
    hosts: list[HostVerdict]
    messages: list[str]


def _merge_vms(report: CheckReport) -> Iterator[tuple[Sequence[str], Sequence[VmCheck]]]:
    """Yield reasons, as lines, with the VMs for which they are the same."""
    merged: dict[tuple[str, ...], list[VmCheck]] = {}
    for vm in report.vms:
        lines = tuple(_tell_vm(report, vm))
        if lines:
            merged.setdefault(lines, []).append(vm)
    yield from merged.items()


def _tell_reasons(mark: str, found: Sequence[tuple[HostVerdict, Sequence[Finding]]]) -> Iterator[str]:
    merged: dict[tuple[str, str, str], _Reason] = {}
    for verdict, finding in ((verdict, finding) for verdict, findings in found for finding in findings):
        message = _abstract(finding.message, verdict)
        skeleton = re.sub(r"\d+", "0", message) if finding.rule.startswith("memory.") else message
        key = (finding.rule, skeleton, _abstract(finding.remedy, verdict))
        reason = merged.setdefault(key, _Reason(finding, [], []))
        reason.hosts.append(verdict)
        reason.messages.append(message)
    others = sum(not verdict.present for verdict, _ in found)
    for (_, _, remedy), reason in merged.items():
        names = _join([_show(v.host_name) for v in reason.hosts])
        told = _span(reason.messages)
        uuid = reason.hosts[0].host_uuid if len(reason.hosts) == 1 else "..."
        yield from _tell_reason(
            mark, reason.first, told.replace(_HOST, names), remedy.replace(_HOST, names).replace(_UUID, uuid)
        )
        if len(reason.hosts) > _NAMED and (_HOST in told or len(reason.hosts) < others):
            yield from _fold(" " * 13, f"({', '.join(_show(v.host_name) for v in reason.hosts)})")


def _tell_reason(mark: str, finding: Finding, message: str, remedy: str) -> Iterator[str]:
    group = finding.rule.partition(".")[0]
    hint = f"lmflow explain {finding.code}" if find_entries(finding.code) else ""
    forced = "overridden by --force: " if finding.forced else ""
    yield from _fold(f"  {mark} {group:<8} ", f"{forced}{message}  [{finding.code}]")
    on_one_line = _fold(" " * 13, "; ".join(filter(None, (remedy, hint))))
    yield from on_one_line if len(on_one_line) == 1 else [*_fold(" " * 13, remedy), *_fold(" " * 13, hint)]


def _abstract(text: str, verdict: HostVerdict) -> str:
    """Return the text with marks in place of the host's name and UUID."""
    if not verdict.host_name:
        return text.replace(verdict.host_uuid, _UUID)
    name = re.compile(rf"(?<![\w-]){re.escape(verdict.host_name)}(?![\w-])")
    return name.sub(_HOST, text.replace(verdict.host_uuid, _UUID))


def _span(messages: Sequence[str]) -> str:
    """Return one message for several that differ in figures: ``about 100..900 MiB``."""
    parts = zip(*(re.split(r"(\d+)", message) for message in messages), strict=True)
    return "".join(_span_part(each) for each in parts)


def _span_part(each: Sequence[str]) -> str:
    if len(set(each)) == 1:
        return each[0]
    figures = sorted(map(int, each))
    return f"{figures[0]}..{figures[-1]}"


def _join(names: Sequence[str]) -> str:
    """Return the names as one thing: the sentences were made for one host."""
    if len(names) == 1:
        return names[0]
    return f"each of {len(names)} hosts" if len(names) > _NAMED else f"each of {', '.join(names[:-1])} and {names[-1]}"


def _show(name: str, limit: int = 60) -> str:
    """Return a name that is safe to print, and cut when it is long."""
    safe = escape(name, keep="")
    return safe if len(safe) <= limit else f"{safe[: limit - 3]}..."


def _wrap(label: str, text: str) -> list[str]:
    return _fold(f"  ! {label:<9}", text)


def _fold(label: str, text: str, indent: str | None = None) -> list[str]:
    return textwrap.wrap(
        escape(text, keep=""),
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label) if indent is None else indent,
        break_on_hyphens=False,
    )
