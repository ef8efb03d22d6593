"""What is missing after the arrival is waited for once, also where the step is parked in between."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lmflow.exceptions import Parked
from lmflow.models import MoveRequest, Waits
from lmflow.tasks import await_settled
from lmflow.tasks.await_settled import AwaitSettled
from lmflow.tasks.context import Context
from lmflow.visualize import EXAMPLE_REQUEST
from lmflow.xapi.attendance import Attendance

VIEW = {"repair": "", "place": "there"}


class Books:
    """An empty database, as far as this step reads it."""

    @property
    def events(self) -> Books:
        return self

    @property
    def attempts(self) -> Books:
        return self

    def list(self, run_uuid: str, kind: str = "") -> tuple[Any, ...]:
        return ()


class Settling(Context):
    """A context that keeps what is recorded, with a clock that a test sets."""

    def record(self, kind: str, data: Any) -> None:
        self.kept.setdefault("recorded", []).append((kind, data["text"]))


@pytest.mark.parametrize("parks", [True, False])
def test_both_waits_last_as_long_as_they_should_and_warn_once(monkeypatch: pytest.MonkeyPatch, parks: bool) -> None:
    request = MoveRequest.from_json(EXAMPLE_REQUEST)
    request = dataclasses.replace(request, options=dataclasses.replace(request.options, guest_seconds=30.0))
    seen = Attendance("Running", -1, request.destination_uuid, (), {}, frozenset(), None)
    now, looks = [0.0], []
    none: Any = None
    books: Any = Books()

    def look(connection: Any, vm_uuid: str, *, guest: bool) -> Attendance:
        looks.append(now[0])
        now[0] += 5
        return seen

    monkeypatch.setattr(await_settled, "read_attendance", look)
    waits = Waits(settle_seconds=20, poll_seconds=0.001)
    context = Settling(none, books, none, "run", request, waits, clock=lambda: now[0])
    context.patience_seconds = lambda: 0.0 if parks else 3600.0
    parked = 0
    while True:
        try:
            result = AwaitSettled().execute(context, view=VIEW)
            break
        except Parked:
            parked += 1
    name = request.vm_name
    assert result["warnings"] == [
        f"{name} is shown Running without a domain",
        f"the guest's agent of {name} has not reported within 30 s",
    ]
    assert [text for _, text in context.kept.pop("recorded")] == result["warnings"]
    assert looks == [5.0 * number for number in range(len(looks))]
    assert len(looks) == 4 + 6
    assert parked == (8 if parks else 0)
    assert context.kept == {}
