from collections.abc import Generator

from taskflow.engines.action_engine.compiler import Compilation
from taskflow.engines.base import Engine

class ActionEngine(Engine):
    NO_RERAISING_STATES: frozenset[str]
    IGNORABLE_STATES: frozenset[str]
    MAX_MACHINE_STATES_RETAINED: int
    @property
    def compilation(self) -> Compilation | None: ...
    def run_iter(self, timeout: float | None = ...) -> Generator[str, bool | None, None]: ...

class SerialActionEngine(ActionEngine): ...
class ParallelActionEngine(ActionEngine): ...
