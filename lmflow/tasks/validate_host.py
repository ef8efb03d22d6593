"""Validating both hosts: live, enabled, free to take part."""

from __future__ import annotations

from lmflow.tasks.validate import ValidateTask


class ValidateHost(ValidateTask):
    """Refuse on any finding of the group ``host``; running it twice asks twice, and there is nothing to revert."""

    NAME = "validate_host"
    GROUP = "host"
