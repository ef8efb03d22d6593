"""A flow that TaskFlow can import by name, and that does what its test put into PROBES."""

from collections.abc import Callable
from typing import Any

from taskflow import task
from taskflow.patterns import linear_flow

PROBES: dict[str, Callable[[], None]] = {}


class Step(task.Task):
    """Calls the probe of its name, and says that it ran."""

    def execute(self, **_kwargs: Any) -> dict[str, Any]:
        PROBES.get(self.name, lambda: None)()
        return {"ran": self.name}

    def revert(self, **kwargs: Any) -> None:
        PROBES.get(f"revert {self.name}", lambda: None)()


def make_flow(version: int) -> linear_flow.Flow:
    """Two steps."""
    assert version == 1
    return linear_flow.Flow("move").add(Step(name="one", provides="first"), Step(name="two", requires=["first"]))
