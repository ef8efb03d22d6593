"""``lmflow db upgrade``."""

from __future__ import annotations

import argparse
from typing import cast

from lmflow.cli.base import Action
from lmflow.cli.door import find_place
from lmflow.cli.main import LmflowApp


class DbUpgrade(Action):
    """Bring the database to the version that this lmflow writes."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Upgrade; safe to repeat, refuses a database from a newer lmflow."""
        from lmflow import conf  # noqa: PLC0415 - heavy: oslo.config
        from lmflow.db.database import Database  # noqa: PLC0415 - heavy: SQLAlchemy, alembic

        app = cast(LmflowApp, self.app)
        place = find_place(app)
        url = place.database_url if place else app.options.database or conf.load(()).database_url
        before, after = Database.upgrade(url)
        app.printer.say(
            f"The database is at version {after}" + ("." if before == after else f", was {before or 'new'}.")
        )
        return 0
