"""Validating the CPU: features that the guest was booted with."""

from __future__ import annotations

from lmflow.tasks.validate import ValidateTask


class ValidateCPU(ValidateTask):
    """Refuse on any finding of the group ``cpu``; running it twice asks twice, and there is nothing to revert."""

    NAME = "validate_cpu"
    GROUP = "cpu"
