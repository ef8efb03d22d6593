"""Validating networks: every interface's network on the destination."""

from __future__ import annotations

from lmflow.tasks.validate import ValidateTask


class ValidateNetwork(ValidateTask):
    """Refuse on any finding of the group ``network``; running it twice asks twice, and there is nothing to revert."""

    NAME = "validate_network"
    GROUP = "network"
