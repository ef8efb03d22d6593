from collections.abc import Mapping
from typing import Any

from taskflow.persistence.base import Backend

def fetch(conf: Mapping[str, Any] | str, namespace: str = ..., **kwargs: Any) -> Backend: ...
