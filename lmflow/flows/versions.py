"""Which versions of the flows this lmflow can build: a run is resumed with the one that it was created with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lmflow.exceptions import ConfigurationError
from lmflow.models import MoveRequest

CURRENT: Final = 2


def check_version(name: str, version: int, request: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for a version that is not ours, TypeError for a request that is no MoveRequest."""
    if version != CURRENT:
        raise ConfigurationError(
            f"the run's flow {name!r} has version {version}, this lmflow builds version {CURRENT}",
            advice="resume it with the lmflow that created it, or a newer one",
        )
    MoveRequest.from_json(request)
