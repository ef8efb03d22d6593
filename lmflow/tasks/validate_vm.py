"""Validating the VM: running, movable, not blocked."""

from __future__ import annotations

from lmflow.tasks.validate import ValidateTask


class ValidateVM(ValidateTask):
    """Refuse on any finding of the group ``vm``; running it twice asks twice, and there is nothing to revert."""

    NAME = "validate_vm"
    GROUP = "vm"
