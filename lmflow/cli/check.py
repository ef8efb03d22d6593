"""``lmflow check``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from lmflow.cli.arguments import add_way
from lmflow.cli.base import Answer, ListCommand
from lmflow.cli.door import find_place, get_place
from lmflow.cli.exits import Exit
from lmflow.cli.matrix import CHECK_COLUMNS, make_check_rows, tell_check
from lmflow.cli.sources import SOURCE_COLUMNS, make_source_rows, tell_sources
from lmflow.exceptions import UsageError
from lmflow.models import CheckReport, Site

_DOCUMENTS = ("json", "yaml")


class Check(ListCommand):
    """Say whether VMs may move, and where to: every rule, every host, with reasons and remedies; changes nothing."""

    columns = (*CHECK_COLUMNS, *SOURCE_COLUMNS)
    asks_pools = True
    _report: CheckReport | None = None

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the VMs, the destination and whether XAPI is to be asked; or the wish to see the rules."""
        parser = super().get_parser(prog_name)
        parser.add_argument("vms", nargs="*", metavar="VM", help="name, UUID or unique prefix")
        parser.add_argument("--to", metavar="HOST", help="the destination that is meant; the others are shown too")
        parser.add_argument(
            "--ask-pool", action="store_true", help="ask XAPI itself too, for each VM and host that the rules pass"
        )
        parser.add_argument("--strict", action="store_true", help="let warnings refuse too, as migrate --strict does")
        add_way(parser)
        parser.add_argument(
            "--sources",
            action="store_true",
            help="list the rules instead: where each comes from, and whether it is on; asks no pool",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Answer:
        """Read the pool and weigh it, or list the rules; changes nothing."""
        if parsed_args.sources:
            return self._list_sources(parsed_args)
        self._refuse_columns(parsed_args, CHECK_COLUMNS)
        if not parsed_args.vms:
            raise UsageError("no VM is named", advice="lmflow check VM, or lmflow check --sources")
        if parsed_args.to is not None and not parsed_args.to.strip():
            raise UsageError("the name after --to is empty", advice="leave --to out to see every host")
        app = self.get_app()
        place = get_place(app)
        with place.open_client() as client:
            report = client.check(
                parsed_args.vms,
                parsed_args.to or "",
                pool=app.options.pool or place.default_pool,
                ask_pool=parsed_args.ask_pool,
                network=parsed_args.network or "",
                strict=parsed_args.strict,
                force=parsed_args.force,
                eject_local_iso=parsed_args.eject_local_iso,
            )
        self._report = report
        code = Exit.DONE if report.all_can_move else Exit.REFUSED
        return Answer(CHECK_COLUMNS, tuple(make_check_rows(report)), tell_check(report), code)

    def _list_sources(self, parsed_args: argparse.Namespace) -> Answer:
        if parsed_args.vms or parsed_args.to or parsed_args.ask_pool:
            raise UsageError("--sources lists the rules and asks no pool", advice="leave VMs and --to out")
        self._refuse_columns(parsed_args, SOURCE_COLUMNS)
        from lmflow import checks  # noqa: PLC0415 - needed by this way only: others ask the library

        place = find_place(self.get_app())
        sources = checks.find_sources(place.site if place else Site())
        return Answer(SOURCE_COLUMNS, tuple(make_source_rows(sources)), tell_sources(sources))

    def _refuse_columns(self, parsed_args: argparse.Namespace, columns: Sequence[str]) -> None:
        unknown = [name for name in parsed_args.columns if self._normalize_column_name(name) not in columns]
        if unknown:
            raise UsageError(f"there is no column {unknown[0]!r} here", candidates=columns)

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Sequence[Any]]
    ) -> int:
        """Print rows; where no columns are chosen, JSON and YAML are the whole report, as its schema describes."""
        if self._report is None or parsed_args.columns or parsed_args.formatter not in _DOCUMENTS:
            return super().produce_output(parsed_args, column_names, data)
        document = self._report.to_json()
        self.formatter.emit_one(tuple(document), tuple(document.values()), self.app.stdout, parsed_args)
        return 0
