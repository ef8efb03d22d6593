"""What every step has in common: whatever ends one before the submit leaves its reason behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from lmflow.exceptions import CancelledError, PluginError
from lmflow.models import MoveRequest
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.visualize import EXAMPLE_REQUEST


class Book(Context):
    """A context that keeps what is recorded."""

    told: ClassVar[list[tuple[str, Mapping[str, Any]]]] = []

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        self.told.append((kind, data))


class Step(BaseTask):
    """A step that ends as it is told."""

    NAME = "step"

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def act(self, context: Context, **inputs: Any) -> Any:
        raise self.error


def run(error: Exception) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what is recorded of a step that raises."""
    none: Any = None
    Book.told.clear()
    context = Book(none, none, none, "run", MoveRequest.from_json(EXAMPLE_REQUEST), none)
    with pytest.raises(type(error)):
        Step(error).execute(context)
    return list(Book.told)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left"), "step: OSError: [Errno 28] No space left"),
        (PluginError("acme has not answered"), "step: acme has not answered"),
    ],
)
def test_what_nobody_has_foreseen_is_kept_as_the_reason(error: Exception, text: str) -> None:
    assert run(error) == [("failure", {"task": "step", "text": text, "error": None, "unexpected": True})]


def test_a_cancel_is_kept_as_one() -> None:
    ((_, data),) = run(CancelledError("cancelled by ann"))
    assert data["cancelled"]
    assert "unexpected" not in data
