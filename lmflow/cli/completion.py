"""Completion scripts, made from the parsers of all commands, so that they know what the commands know."""

from __future__ import annotations

import argparse
from typing import Any

import shtab

from lmflow.cli.main import LmflowApp


def render(app: LmflowApp, shell: str) -> str:
    """Return the completion script for bash, fish or zsh; loads every command."""
    return shtab.complete(make_tree(app), shell).rstrip("\n") + "\n"


def make_tree(app: LmflowApp) -> argparse.ArgumentParser:
    """Return one parser with all commands as its subcommands, to be described and not to parse with.

    Global options stand at each command too, for lmflow takes them there.
    """
    root = argparse.ArgumentParser(prog=app.NAME, add_help=False, parents=[_make_global_parser(app)])
    groups: dict[str, Any] = {"": root.add_subparsers(dest="command")}
    for name, entry in sorted(app.command_manager):
        *words, last = name.split()
        group = _ensure_group(groups, words)
        factory: Any = entry.load()
        command = factory(app, None)
        _add_command(group, last, app, command)
    return root


def _make_global_parser(app: LmflowApp) -> argparse.ArgumentParser:
    parser = app.build_option_parser(None, None)
    for action in parser._actions:
        _mark_file(action)
    return parser


def _ensure_group(groups: dict[str, Any], words: list[str]) -> Any:
    """Return the place of the commands that begin with these words (``run`` of ``run list``)."""
    name = " ".join(words)
    if name not in groups:
        parent = _ensure_group(groups, words[:-1])
        parser = parent.add_parser(words[-1], add_help=False, help=f"commands: {words[-1]} ...")
        groups[name] = parser.add_subparsers(dest="command")
    return groups[name]


def _add_command(group: Any, word: str, app: LmflowApp, command: Any) -> None:
    described = command.get_description().strip().split("\n")[0]
    own = command.get_parser(f"{app.NAME} {word}")
    parser = group.add_parser(word, add_help=False, description=described, help=described)
    offers = {"columns": getattr(command, "columns", ()), "sort_columns": getattr(command, "columns", ())}
    offers.update(getattr(command, "offers", {}))
    taken = set()
    for action in own._actions:
        _mark_file(action)
        _offer(action, offers)
        parser._add_action(action)
        taken.update(action.option_strings)
    for action in _make_global_parser(app)._actions:
        if not taken.intersection(action.option_strings):
            parser._add_action(action)


def _mark_file(action: argparse.Action) -> None:
    """Let an argument that names a file be completed from the files; its metavar or its name says so."""
    shown = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or "",)
    if action.dest.endswith("_file") or any("FILE" in word or word.endswith(".pem") for word in shown):
        action.complete = shtab.FILE  # type: ignore[attr-defined]


def _offer(action: argparse.Action, offers: dict[str, Any]) -> None:
    """Give an argument the words that it takes, where its parser leaves it open; ``RUN|move|settle`` names two."""
    words = str(action.metavar).split("|")
    named = [word for word in words if word.islower()] if len(words) > 1 else []
    offered = offers.get(action.dest) or named
    if offered and action.choices is None:
        action.choices = tuple(offered)
