"""Read a configuration file through oslo.config, with every mistake reported by file, option and remedy."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg

from lmflow.conf import options
from lmflow.exceptions import ConfigurationError

FILE_VARIABLE = "LMFLOW_CONFIG_FILE"
SYSTEM_FILE = Path("/etc/lmflow/lmflow.conf")


def find_file(files: Iterable[str | os.PathLike[str]], env: Mapping[str, str]) -> Path | None:
    """Return the one file to read: the last that was named, else the first that exists of the usual places.

    ConfigurationError when a file that was named cannot be read.
    """
    named = [Path(file) for file in files] or [Path(env[FILE_VARIABLE])] if files or env.get(FILE_VARIABLE) else []
    if named:
        return _readable(named[-1].expanduser().absolute())
    home = Path(env.get("HOME") or "~").expanduser()
    base = env.get("XDG_CONFIG_HOME", "")
    user_file = (Path(base) if base.startswith("/") else home / ".config") / "lmflow" / "lmflow.conf"
    return next((_readable(path) for path in (user_file, SYSTEM_FILE) if path.exists()), None)


def _readable(path: Path) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ConfigurationError(
            f"the configuration file {path} cannot be read: {error.strerror}",
            advice=f"correct --config-file or {FILE_VARIABLE}, or the file's permissions",
        ) from error


class Reader:
    """The values of one file (or of none, then all defaults) and, if wanted, of oslo.config's environment."""

    def __init__(self, path: Path | None, *, use_env: bool) -> None:
        self.path = path
        self._conf = cfg.ConfigOpts()
        self._conf.register_opts(options.default_opts)
        self._conf.register_opts(options.database_opts, group=options.database_group)
        self._conf.register_opts(options.waits_opts, group=options.waits_group)
        files = [str(path)] if path else []
        sections: dict[str, dict[str, Any]] = {}
        try:
            self._conf([], default_config_files=files, default_config_dirs=[], use_env=use_env)
            if path:
                cfg.ConfigParser(str(path), sections).parse()
        except (cfg.Error, cfg.ParseError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the configuration file {path} cannot be read: {error}",
                advice="write [group] headings and name = value lines; compare with lmflow.conf.sample",
            ) from error
        self._check_names(sections)
        self.pools = tuple(_pool_name(section) for section in sections if section.startswith(options.POOL_PREFIX))
        for name in self.pools:
            self._conf.register_opts(options.pool_opts, group=options.POOL_PREFIX + name)

    def get(self, group: str, name: str) -> Any:
        """Return a value of its option's type; ConfigurationError when it is none."""
        try:
            value = self._conf[name] if group == "DEFAULT" else self._conf[group][name]
        except (cfg.Error, ValueError) as error:
            cause = str(error).partition(" is not valid: ")[2] or str(error)
            raise self.bad(group, name, cause) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self.bad(group, name, "it has to be a finite number")
        return value

    def bad(self, group: str, name: str, cause: str) -> ConfigurationError:
        """Make the error for a value that cannot be used."""
        return ConfigurationError(
            f"{self.path or 'environment'}: option {name} in [{group}]: {cause}",
            advice=f"correct {name} in [{group}]; its meaning and limits stand in lmflow.conf.sample",
        )

    def _check_names(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse a misspelt name, which oslo.config would pass over in silence."""
        known = {str(getattr(group, "name", group)): opts for group, opts in options.list_opts()}
        for section, values in sections.items():
            is_pool = section.startswith(options.POOL_PREFIX) and _pool_name(section)
            opts = options.pool_opts if is_pool else known.get(section)
            if opts is None:
                raise self._unknown(f"section [{section}]", section, known)
            names = [opt.name for opt in opts]
            for name in values:
                if name.replace("-", "_") not in names:
                    raise self._unknown(f"option {name} in [{section}]", name, names)

    def _unknown(self, what: str, name: str, known: Iterable[str]) -> ConfigurationError:
        near = difflib.get_close_matches(name, list(known), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return ConfigurationError(
            f"{self.path}: lmflow knows no {what}", candidates=near, advice=f"{meant}lmflow.conf.sample lists all names"
        )


def _pool_name(section: str) -> str:
    return section.removeprefix(options.POOL_PREFIX).strip()
