from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from taskflow.atom import Atom
from taskflow.types.notifier import Notifier

REVERT_RESULT: str
REVERT_FLOW_FAILURES: str
EVENT_UPDATE_PROGRESS: str

class Task(Atom):
    TASK_EVENTS: tuple[str, ...]
    def __init__(
        self,
        name: str | None = ...,
        provides: str | Sequence[str] | set[str] | None = ...,
        requires: Iterable[str] | str | None = ...,
        auto_extract: bool = ...,
        rebind: Mapping[str, str] | Sequence[str] | None = ...,
        inject: Mapping[str, Any] | None = ...,
        ignore_list: Iterable[str] | None = ...,
        revert_rebind: Mapping[str, str] | Sequence[str] | None = ...,
        revert_requires: Iterable[str] | str | None = ...,
    ) -> None: ...
    @property
    def notifier(self) -> Notifier: ...
    def copy(self, retain_listeners: bool = ...) -> Self: ...
    def update_progress(self, progress: float) -> None: ...
