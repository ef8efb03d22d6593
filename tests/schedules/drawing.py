"""Schedules drawn at random by a state machine; the same seed gives the same schedules."""

from __future__ import annotations

import functools
import random
from typing import Any, NoReturn

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, PrimitiveProvider
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from lmflow.flows.move import make_move_flow
from lmflow.flows.settle import make_settle_flow
from lmflow.tasks.base import BaseTask
from lmflow.visualize import EXAMPLE_REQUEST
from tests.schedules.model import KINDS, LETTING_GO, Round, Schedule, Strike
from tests.support.kill_reports import BEGIN, CALLS, COMMITS, Point

BATCH = 25
"""How many schedules one seed gives."""
MIXES = ("kills", "kills and cancels", "all")
"""What may stand in the schedules of a seed: its rest by three says which."""
MOST_STEPS = 7
# What a wire's fault may befall by name; most of a command's calls are reads, which are met as any.
BY_NAME = (
    "VM.pool_migrate",
    "PBD.create",
    "PBD.plug",
    "PBD.unplug",
    "PBD.destroy",
    "host.call_plugin",
    "VM.get_record",
    "event.from",
    "task.get_record",
    "task.cancel",
    "task.destroy",
    "session.get_by_uuid",
    "session.logout",
    "session.login_with_password",
)
WIRE = (
    "close_before",
    "close_after",
    "reset_before",
    "reset_after",
    "http_500",
    "truncated",
    "session_invalid",
)
PHASES: tuple[dict[str, Any], ...] = (
    *({"phase": "copy", "kind": "restart", "host": host, "how": how, "at": at}
      for host in ("source", "destination", "coordinator") for how in ("KILL", "TERM") for at in (0.1, 0.9)),
    *({"phase": phase, "kind": "fail", "end": end}
      for phase, end in (("setup", "source"), ("copy", "source"), ("suspend", "source"), ("suspend", "halted"),
                         ("finish", "nowhere"), ("finish", "destination"))),
    {"phase": "setup", "kind": "fail", "error": ["HOST_DISABLED", "OpaqueRef:b"]},
    {"phase": "copy", "kind": "interrupt", "times": 1},
    {"phase": "copy", "kind": "interrupt", "times": 3},
    {"phase": "PBD.plug", "kind": "fail"},
    {"phase": "PBD.unplug", "kind": "fail"},
)  # fmt: skip


@functools.cache
def list_steps(flow: str) -> list[str]:
    """Return the steps that a process comes to in a flow of the matrix, in their order; ``~`` for a revert."""
    move, settle = (
        [atom.name for atom, _ in make(EXAMPLE_REQUEST).iter_nodes() if isinstance(atom, BaseTask)]
        for make in (make_move_flow, make_settle_flow)
    )
    names = list(dict.fromkeys("validate" if name.startswith("validate_") else name for name in move))
    return [BEGIN, *names, *([f"~{name}" for name in reversed(names)] if flow == "failed" else settle)]


points = st.tuples(
    st.integers(0, 2**16), st.sampled_from((*CALLS, *COMMITS)), st.sampled_from((1, 1, 1, 1, 2, 2, 3, 5, 8))
)
"""Where in its flow, at which of its moments, at the how manieth from there."""
Drawn = tuple[int, str, int]


class SeededProvider(PrimitiveProvider):
    """Where hypothesis takes its choices from: a generator with our seed, and nothing else.

    Its own source also tries the constants that stand in the modules loaded so far: a seed would then mean something
    else with every change of the code.
    """

    seed = 0

    def __init__(self, conjecturedata: Any, /) -> None:
        super().__init__(conjecturedata)
        self.random = random.Random(self.seed)  # noqa: S311 - not a secret

    def draw_boolean(self, p: float = 0.5) -> bool:
        """Draw with that probability."""
        return self.random.random() < p

    def draw_integer(self, min_value: int | None = None, max_value: int | None = None, **_kwargs: Any) -> int:
        """Draw evenly."""
        assert min_value is not None
        assert max_value is not None
        return self.random.randint(min_value, max_value)

    def draw_float(self, **_kwargs: Any) -> NoReturn:
        """Not drawn here."""
        raise NotImplementedError

    draw_string = draw_bytes = draw_float


AVAILABLE_PROVIDERS["lmflow-seeded"] = f"{__name__}.SeededProvider"


class Drawing(RuleBasedStateMachine):
    """Composes one schedule; what it has composed at its end is kept in ``drawn``."""

    drawn: list[Schedule]
    mix: str

    def __init__(self) -> None:
        super().__init__()
        self.drafts: list[tuple[str, Drawn, tuple[Any, ...], tuple[Any, ...]]] = []
        self.wire: list[dict[str, Any]] = []
        self.phases: list[dict[str, Any]] = []
        self.world: dict[str, Any] = {}
        self.most = 0
        self.cancelled = False

    @initialize(
        flow=st.sampled_from(("moved", "moved", "failed")),
        database=st.sampled_from((*KINDS, "sqlite", "sqlite")),
        header=st.sampled_from((True, True, True, False)),
        witness=st.sampled_from((True,) * 7 + (False,)),
        most=st.sampled_from((1, 2, 2, 3, 3, 4)),
    )
    def begin(self, *, witness: bool, most: int, **world: Any) -> None:
        """Choose the world, and how often it may be struck."""
        self.most = most
        self.world = {**world, "witness": witness or self.mix != "all"}

    @rule()
    def let_be(self) -> None:
        """Do nothing: there is a rule for the machine when nothing more may befall this command."""

    @precondition(lambda self: len(self.drafts) < self.most)
    @rule(at=points)
    def kill(self, at: Drawn) -> None:
        """Kill the command, and begin the next one."""
        self._end_round("kill", at)

    @precondition(lambda self: self.mix != "kills" and len(self.drafts) < self.most)
    @rule(at=points, how=st.sampled_from(LETTING_GO))
    def let_go(self, at: Drawn, how: str) -> None:
        """Have the command let go by a signal, and begin the next one."""
        self._end_round(how, at)

    @precondition(lambda self: self.mix != "kills" and not self.cancelled and len(self.drafts) < self.most)
    @rule(at=points)
    def cancel(self, at: Drawn) -> None:
        """Ask for a cancel from another process."""
        self.cancelled = True
        self._end_round("cancel", at)

    @precondition(lambda self: self.mix == "all" and len(self.wire) < 2)
    @rule(kind=st.sampled_from(WIRE), call=st.sampled_from(("*", *BY_NAME)), nth=st.integers(1, 20))
    def fault_of_the_wire(self, kind: str, call: str, nth: int) -> None:
        """Let a call of this command fare badly."""
        nth = nth if call == "*" else 1 + nth % 2
        self.wire.append({"kind": kind, "call": call, "nth": nth})

    @precondition(lambda self: self.mix == "all" and not (self.drafts or self.phases or self.fails))
    @rule(fault=st.sampled_from(PHASES))
    def fault_of_the_pool(self, fault: dict[str, Any]) -> None:
        """Let something befall the migration itself; one such thing is enough for a VM."""
        self.phases.append(dict(fault))

    @property
    def fails(self) -> bool:
        """Tell whether the migration is refused anyway."""
        return self.world["flow"] == "failed"

    def teardown(self) -> None:
        """Keep the schedule."""
        if self.world:
            self._end_round("", (0, "", 0))
            schedule = Schedule(self._make_rounds(), **self.world)
            if schedule.rounds and schedule not in self.drawn:
                self.drawn.append(schedule)

    def _end_round(self, how: str, at: Drawn) -> None:
        if how or self.wire or self.phases:
            self.drafts.append((how, at, tuple(self.wire), tuple(self.phases)))
        self.wire, self.phases = [], []

    def _make_rounds(self) -> tuple[Round, ...]:
        """Put the points in the order in which a run comes to them: what is behind it is not reached any more."""
        steps = list_steps(self.world["flow"])
        drawn = sorted(((where % len(steps), moment, nth) for how, (where, moment, nth), *_ in self.drafts if how))
        found = iter(Point(steps[index], moment, "*", nth) for index, moment, nth in drawn)
        return tuple(
            Round(Strike(how, next(found)) if how else None, wire, phases) for how, _, wire, phases in self.drafts
        )


def draw_schedules(number: int, count: int = BATCH) -> list[Schedule]:
    """Return the schedules of a seed: the same for ever, with one version of hypothesis.

    Empty ones, and those that come again, are left out.
    """
    drawn: list[Schedule] = []
    SeededProvider.seed = number
    run_state_machine_as_test(
        type("Machine", (Drawing,), {"drawn": drawn, "mix": MIXES[number % len(MIXES)]}),
        settings=settings(
            backend="lmflow-seeded",
            max_examples=2 * count,
            stateful_step_count=MOST_STEPS,
            phases=(Phase.generate,),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return drawn[:count]
