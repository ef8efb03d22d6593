"""``lmflow config show``."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lmflow.cli.base import Answer, ListCommand
from lmflow.cli.demo_pool import PROFILE, DemoPool, find_demo
from lmflow.cli.formatters import Nested
from lmflow.exceptions import ConfigurationError

if TYPE_CHECKING:
    from lmflow.conf import Settings
    from lmflow.conf.origins import Explanation, OptionValue

COLUMNS = ("group", "option", "value", "origin")
# What commands take from the process even when they work with the demo pool.
_NOT_OF_THE_DEMO = (("DEFAULT", "state_dir"), ("DEFAULT", "on_interrupt"))


class ConfigShow(ListCommand):
    """Show every option with its value and where the value comes from; secrets are masked."""

    columns = COLUMNS

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Read the configuration as every command does; no pool, no database and no secret is touched."""
        from lmflow.conf import origins  # noqa: PLC0415 - heavy: oslo.config

        app = self.get_app()
        explanation = origins.explain(app.options.config_file)
        demo = None if explanation.settings.config_file else find_demo()
        settings, overridden = _apply(explanation.settings, demo, app.options)

        def find_origin(group: str, option: str) -> str:
            if (group, option) in overridden:
                return overridden[group, option]
            if demo and (group, option) not in _NOT_OF_THE_DEMO:
                return "demo pool"
            return explanation.find_origin(group, option)

        for line in _tell(explanation, demo):
            app.printer.say(line)
        for address, names in origins.find_shared(settings.pools):
            app.printer.say(
                f"(the profiles {', '.join(names)} have the address {address} in common: are they one pool?)"
            )
        values = tuple(origins.list_values(settings, find_origin))
        return Answer(COLUMNS, tuple(_make_row(value) for value in values), _make_lines(values))


def _apply(
    settings: Settings, demo: DemoPool | None, options: argparse.Namespace
) -> tuple[Settings, dict[tuple[str, str], str]]:
    """Return the settings that count, and the origin of those that the command line gives."""
    overridden = {}
    if demo:
        settings = dataclasses.replace(
            settings,
            database_url=demo.database_url,
            default_pool=PROFILE,
            pools={PROFILE: demo.make_profile()},
            sources={},
            waits=demo.waits,
        )
    if options.database:
        settings = dataclasses.replace(settings, database_url=options.database)
        overridden["database", "connection"] = "command line --database"
    if options.pool:
        if options.pool not in settings.pools:
            raise ConfigurationError(
                f"there is no pool profile {options.pool!r}", candidates=list(settings.pools), advice="correct --pool"
            )
        settings = dataclasses.replace(settings, default_pool=options.pool)
        overridden["DEFAULT", "default_pool"] = "command line --pool"
    return settings, overridden


def _tell(explanation: Explanation, demo: DemoPool | None) -> Iterator[str]:
    if explanation.settings.config_file:
        yield f"(configuration file: {explanation.settings.config_file})"
        return
    yield f"(no configuration file; looked for, in this order: {', '.join(explanation.places)})"
    if demo:
        yield f'(no configuration: using the demo pool "{PROFILE}")'


def _make_row(value: OptionValue) -> tuple[Any, ...]:
    shown = value.value if isinstance(value.value, (str, int, float)) else Nested(value.value, _write(value.value))
    return value.group, value.option, shown, value.origin


def _make_lines(values: Sequence[OptionValue]) -> Iterator[str]:
    for group, members in itertools.groupby(values, key=lambda value: value.group):
        yield f"[{group}]"
        for value in members:
            yield f"  {value.option} = {_write(value.value)}  ({value.origin})"


def _write(value: Any) -> str:
    """Write a value as a configuration file has it."""
    if isinstance(value, dict):
        return ",".join(f"{key}:{each}" for key, each in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)
