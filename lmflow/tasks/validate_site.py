"""Validating what the site itself asks for."""

from __future__ import annotations

from lmflow.tasks.validate import ValidateTask


class ValidateSite(ValidateTask):
    """Refuse on any finding of the site's own rules; running it twice asks twice, and there is nothing to revert."""

    NAME = "validate_site"
    GROUP = "site"
