"""Read a configuration file through oslo.config, with every mistake reported by file, option and remedy."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg

from lmflow.conf import environment, options, parsing
from lmflow.exceptions import ConfigurationError

FILE_VARIABLE = "LMFLOW_CONFIG_FILE"
SYSTEM_FILE = Path("/etc/lmflow/lmflow.conf")
DEFAULT_ORIGIN = "default"
# A run keeps the name of its profile in a column of this width.
_NAME_LENGTH = 255
Files = Iterable[str | os.PathLike[str]] | str | os.PathLike[str]


def find_home(env: Mapping[str, str]) -> Path | None:
    """Return the home directory; None for a user without one (a container may run under any number)."""
    try:
        return Path(env.get("HOME") or Path.home()).absolute()
    except RuntimeError:
        return None


def find_file(files: Files, env: Mapping[str, str]) -> Path | None:
    """Return the one file to read: the last that was named, else the first that exists of the usual places.

    ConfigurationError when a file that was named, or exists, cannot be read.
    """
    named = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    if not named and env.get(FILE_VARIABLE):
        named = [env[FILE_VARIABLE]]
    if named:
        path = expand_home(os.fspath(named[-1]), env).absolute()
        return parsing.check_readable(path, f"correct --config-file or {FILE_VARIABLE}, or the file's permissions")
    advice = f"correct the file's permissions, or name another with --config-file or {FILE_VARIABLE}"
    return next((parsing.check_readable(path, advice) for path in _list_usual(env) if _exists(path)), None)


def list_places(files: Files, env: Mapping[str, str]) -> tuple[str, ...]:
    """Return, in words, the places where a file is looked for, in their order."""
    named = "given" if files else "not given"
    variable = "set" if env.get(FILE_VARIABLE) else "not set"
    usual = (parsing.escape(str(path)) for path in _list_usual(env))
    return (f"--config-file ({named})", f"${FILE_VARIABLE} ({variable})", *usual)


def _list_usual(env: Mapping[str, str]) -> list[Path]:
    home, base = find_home(env), env.get("XDG_CONFIG_HOME", "")
    # The XDG specification has relative paths ignored.
    parent = Path(base) if base.startswith("/") else home / ".config" if home else None
    return [*([parent / "lmflow" / "lmflow.conf"] if parent else []), SYSTEM_FILE]


def _exists(path: Path) -> bool:
    """Tell whether there is a file; one behind a closed door counts, so that it is not passed over in silence."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def expand_home(text: str, env: Mapping[str, str]) -> Path:
    """Return the path with a leading ``~`` replaced; ConfigurationError when there is no home directory."""
    if text != "~" and not text.startswith("~/"):
        return Path(text)
    home = find_home(env)
    if home is None:
        raise ConfigurationError(
            f"the path {parsing.escape(text)} needs a home directory, and this user has none",
            advice="write the whole path, or set HOME",
        )
    return home / text[2:]


class Reader:
    """The values of one file (or of none, then all defaults) and, if wanted, of oslo.config's environment."""

    def __init__(self, path: Path | None, *, use_env: bool) -> None:
        self.path = path
        self._use_env = use_env
        if use_env:
            environment.check_variables(os.environ)
        self._sections = parsing.read_sections(path) if path else {}
        self._check_names(self._sections)
        self._conf = cfg.ConfigOpts()
        self._conf.register_opts(options.default_opts)
        self._conf.register_opts(options.database_opts, group=options.database_group)
        for group, opts in options.GROUPS:
            self._conf.register_opts(opts, group=group)
        files = [str(path)] if path else []
        try:
            # With a name for the program: an interpreter that is embedded may have no sys.argv.
            self._conf([], prog="lmflow", default_config_files=files, default_config_dirs=[], use_env=use_env)
        except (cfg.Error, cfg.ParseError, UnicodeDecodeError) as error:
            cause = f"oslo.config says {type(error).__name__}"
            raise parsing.make_unreadable(path or Path("environment"), cause) from None
        self.pools = tuple(_pool_name(section) for section in self._sections if _is_pool(section))
        for name in self.pools:
            self._conf.register_opts(options.pool_opts, group=options.POOL_PREFIX + name)

    def get(self, group: str, name: str) -> Any:
        """Return a value of its option's type; ConfigurationError when it is none."""
        try:
            value = self._conf[name] if group == "DEFAULT" else self._conf[group][name]
        except (cfg.NoSuchOptError, cfg.NoSuchGroupError, cfg.TemplateSubstitutionError, RecursionError):
            # Without oslo.config's error, which holds what followed the dollar sign: part of a password, perhaps.
            cause = "a dollar sign in it is followed by the name of no other option; write a dollar sign as $$"
            raise self.bad(group, name, cause) from None
        except (cfg.Error, ValueError) as error:
            raise self.bad(group, name, str(error).partition(" is not valid: ")[2] or str(error)) from error
        if value is None and self.find_origin(group, name) != DEFAULT_ORIGIN:
            raise self.bad(group, name, "it is empty")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.bad(group, name, "it has to be a finite number")
        if not all(text.isprintable() for text in _list_texts(value)):
            raise self.bad(group, name, "it contains a line break or an invisible character")
        return value

    def replace(self, name: str, value: str) -> None:
        """Put a value of DEFAULT in the place of what was read, for the options that refer to it."""
        self._conf.set_override(name, value)

    def find_text(self, group: str, name: str) -> str | None:
        """Return the text that was written for an option, None when none was."""
        variable = self._find_variable(group, name)
        return os.environ[variable] if variable else "".join(self._sections.get(group, {}).get(name, ())) or None

    def find_origin(self, group: str, name: str) -> str:
        """Return where a value comes from: ``environment VARIABLE``, ``file PATH`` or ``default``."""
        variable = self._find_variable(group, name)
        if variable:
            return f"environment {variable}"
        in_file = name in self._sections.get(group, {})
        return f"file {parsing.escape(str(self.path))}" if in_file else DEFAULT_ORIGIN

    def bad(self, group: str, name: str, cause: str) -> ConfigurationError:
        """Make the error for a value that cannot be used."""
        variable = self._find_variable(group, name)
        place = f"the environment variable {variable}" if variable else str(self.path or "environment")
        return ConfigurationError(
            parsing.escape(f"{place}: option {name} in [{group}]: {cause}"),
            advice=f"correct {name} in [{group}]; its meaning and limits stand in lmflow.conf.sample",
        )

    def _find_variable(self, group: str, name: str) -> str:
        variable = environment.make_variable(group, name)
        return variable if self._use_env and variable in os.environ else ""

    def _check_names(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse a misspelt name, which oslo.config would pass over in silence."""
        known = {group.name: opts for group, opts in options.list_opts()}
        for section, values in sections.items():
            if _is_pool(section):
                self._check_pool_name(section)
            opts = options.pool_opts if _is_pool(section) else known.get(section)
            if opts is None:
                raise self._unknown(f"section [{section}]", section, known)
            names = [opt.name for opt in opts]
            for name in values:
                if name not in names:
                    raise self._unknown(f"option {name} in [{section}]", name, names)

    def _check_pool_name(self, section: str) -> None:
        name = _pool_name(section)
        if not name or name != name.strip() or set(name) & set("[]") or len(name) > _NAME_LENGTH:
            raise ConfigurationError(
                f"{self.path}: [{section}] names no profile",
                advice=f"write [pool:NAME] with 1 to {_NAME_LENGTH} characters, no spaces around them and no brackets",
            )

    def _unknown(self, what: str, name: str, known: Iterable[str]) -> ConfigurationError:
        by_lower = {each.lower(): each for each in known}
        near = [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, n=1)]
        meant = f"did you mean {near[0]}? " if near else ""
        return ConfigurationError(
            f"{self.path}: lmflow knows no {what}", candidates=near, advice=f"{meant}lmflow.conf.sample lists all names"
        )


def _pool_name(section: str) -> str:
    return section.removeprefix(options.POOL_PREFIX)


def _is_pool(section: str) -> bool:
    return section.startswith(options.POOL_PREFIX)


def _list_texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for text in pair]
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
