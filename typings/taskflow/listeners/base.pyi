from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from taskflow.engines.base import Engine

FINISH_STATES: tuple[str, ...]
DEFAULT_LISTEN_FOR: tuple[str, ...]

class Listener:
    _engine: Engine
    def __init__(
        self,
        engine: Engine,
        task_listen_for: Iterable[str] | None = ...,
        flow_listen_for: Iterable[str] | None = ...,
        retry_listen_for: Iterable[str] | None = ...,
    ) -> None: ...
    def _flow_receiver(self, state: str, details: Mapping[str, Any]) -> None: ...
    def _task_receiver(self, state: str, details: Mapping[str, Any]) -> None: ...
    def _retry_receiver(self, state: str, details: Mapping[str, Any]) -> None: ...
    def register(self) -> None: ...
    def deregister(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None: ...
