"""``lmflow db upgrade``."""

from __future__ import annotations

import argparse
import os
from typing import cast

from cliff.command import Command

from lmflow.cli.door import find_place
from lmflow.cli.main import LmflowApp


class DbUpgrade(Command):
    """Bring the database to the version that this lmflow writes."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Upgrade; safe to repeat, refuses a database from a newer lmflow."""
        from lmflow import conf  # noqa: PLC0415 - heavy: oslo.config
        from lmflow.db import engine, migrations  # noqa: PLC0415 - heavy: SQLAlchemy, alembic

        app = cast(LmflowApp, self.app)
        place = find_place(app)
        url = place.database_url if place else app.options.database or conf.load((), os.environ).database_url
        opened = engine.open_engine(url)
        try:
            migrations.upgrade(opened)
        finally:
            opened.dispose()
        app.printer.say("The database is up to date.")
        return 0
