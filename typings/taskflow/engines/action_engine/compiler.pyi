from typing import Any

from taskflow.flow import Flow
from taskflow.types.graph import DiGraph

TASK: str
RETRY: str
FLOW: str
FLOW_END: str
ATOMS: tuple[str, ...]
FLOWS: tuple[str, ...]

class Terminator:
    @property
    def flow(self) -> Flow: ...
    @property
    def name(self) -> str: ...

class Compilation:
    @property
    def execution_graph(self) -> DiGraph: ...
    @property
    def hierarchy(self) -> Any: ...

class PatternCompiler:
    def __init__(self, root: Any, freeze: bool = ...) -> None: ...
    def compile(self) -> Compilation: ...
