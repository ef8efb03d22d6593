"""From global options to an open client: the configuration, or else a live demo pool."""

from __future__ import annotations

import dataclasses
import getpass
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lmflow.cli.demo_pool import PROFILE, find_demo
from lmflow.exceptions import ConfigurationError, UsageError
from lmflow.models import PoolProfile, Site, Waits

if TYPE_CHECKING:
    from lmflow.api import Client, Records
    from lmflow.cli.main import LmflowApp
    from lmflow.models import Notice


@dataclasses.dataclass(frozen=True)
class Place:
    """Which database and which pools a command works with."""

    database_url: str
    profiles: Mapping[str, PoolProfile]
    password: Callable[[str], str] = dataclasses.field(repr=False)
    waits: Waits
    site: Site = dataclasses.field(default_factory=Site)
    default_pool: str = ""
    on_interrupt: str = "detach"

    def open_records(self) -> Records:
        """Open what is recorded of runs, without the engine and the pool's SDK."""
        from lmflow.api.records import Records  # noqa: PLC0415 - heavy: the database

        return Records(database_url=self.database_url, waits=self.waits)

    def open_client(self, notify: Callable[[Notice], None] | None = None) -> Client:
        """Open the library's client on this place."""
        from lmflow.api.client import Client  # noqa: PLC0415 - heavy: the engine, the database, the SDK

        return Client(
            database_url=self.database_url,
            profiles=self.profiles,
            password=self.password,
            waits=self.waits,
            site=self.site,
            notify=notify,
            on_interrupt=self.on_interrupt,
        )


def find_place(app: LmflowApp) -> Place | None:
    """Return the place that options, configuration or a live demo name; None when nothing does."""
    from lmflow import conf  # noqa: PLC0415 - heavy: oslo.config

    options = app.options
    settings = conf.load(tuple(options.config_file), prompt=ask_password)
    if settings.config_file or settings.pools:
        return Place(
            database_url=options.database or settings.database_url,
            profiles=settings.pools,
            password=settings.password,
            waits=settings.waits,
            site=settings.site,
            default_pool=settings.default_pool,
            on_interrupt=settings.on_interrupt,
        )
    demo = find_demo()
    if demo is None:
        return None
    app.printer.say(f'(no configuration: using the demo pool "{PROFILE}")')
    return Place(
        database_url=options.database or demo.database_url,
        profiles={PROFILE: demo.make_profile()},
        password=demo.get_password,
        waits=demo.waits,
        site=settings.site,
        default_pool=PROFILE,
        on_interrupt=settings.on_interrupt,
    )


def get_place(app: LmflowApp) -> Place:
    """Return the place to work with; ConfigurationError says what to do when there is none."""
    place = find_place(app)
    if place is None:
        raise ConfigurationError(
            "no configuration was found and no demo pool runs",
            advice="lmflow demo, or write ~/.config/lmflow/lmflow.conf with a [pool:NAME] section",
        )
    if app.options.pool and app.options.pool not in place.profiles:
        raise UsageError(f"no pool profile is called {app.options.pool!r}", candidates=sorted(place.profiles))
    return place


def ask_password(profile: str) -> str:
    """Ask a person for a password; without a terminal there is nobody to ask."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise ConfigurationError(
            f'pool "{profile}" has no password_file and no password_env, and there is no terminal to ask at',
            advice=f"set password_file or password_env in [pool:{profile}]",
        )
    return getpass.getpass(f'Password for pool "{profile}": ')
