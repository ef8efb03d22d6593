"""Which versions of the flows this lmflow can build: a run is resumed with the one that it was created with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lmflow.exceptions import ConfigurationError
from lmflow.models import MoveRequest

CURRENT: Final = 3
OLDEST: Final = 2
CLAIMING: Final = 3
"""From this version on a run marks its VM in the pool as held; before, only its database knew of it."""


def check_version(name: str, version: int, request: Mapping[str, Any], *, run_uuid: str = "") -> None:
    """Raise ConfigurationError for a version that is not ours, TypeError for a request that is no MoveRequest.

    The error names the run, where it is known.
    """
    if not OLDEST <= version <= CURRENT:
        older = version < OLDEST
        raise ConfigurationError(
            f"flow {name!r} of {f'run {run_uuid}' if run_uuid else 'the run'} has version {version},"
            f" this lmflow builds versions {OLDEST} to {CURRENT}",
            advice="resume it with the lmflow that created it" + ("" if older else ", or a newer one"),
        )
    MoveRequest.from_json(request)
