from collections.abc import Mapping
from typing import Any

from taskflow.persistence.base import Backend

class MemoryBackend(Backend):
    def __init__(self, conf: Mapping[str, Any] | None = ...) -> None: ...
