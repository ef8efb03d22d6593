"""Validating memory: enough of it free on the destination."""

from __future__ import annotations

from lmflow.tasks.validate import ValidateTask


class ValidateMemory(ValidateTask):
    """Refuse on any finding of the group ``memory``; running it twice asks twice, and there is nothing to revert."""

    NAME = "validate_memory"
    GROUP = "memory"
