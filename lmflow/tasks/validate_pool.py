"""Validating the pool: membership, upgrade."""

from __future__ import annotations

from lmflow.tasks.validate import ValidateTask


class ValidatePool(ValidateTask):
    """Refuse on any finding of the group ``pool``; running it twice asks twice, and there is nothing to revert."""

    NAME = "validate_pool"
    GROUP = "pool"
