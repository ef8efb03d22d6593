"""Validating storage: every disk within reach of the destination."""

from __future__ import annotations

from lmflow.tasks.validate import ValidateTask


class ValidateSR(ValidateTask):
    """Refuse on any finding of the group ``sr``; running it twice asks twice, and there is nothing to revert."""

    NAME = "validate_sr"
    GROUP = "sr"
