"""Where a pool's password comes from. It is read when it is needed, and not kept."""

from __future__ import annotations

import dataclasses
import logging
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from lmflow.exceptions import ConfigurationError

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class PasswordSource:
    """A file, else an environment variable, else a prompt."""

    pool: str
    file: Path | None = None
    variable: str = ""

    def read(self, env: Mapping[str, str], prompt: Callable[[str], str] | None) -> str:
        """Return the password; ConfigurationError when no source gives one. The prompt gets the profile's name."""
        if self.file is not None:
            return self._read_file(self.file)
        if self.variable and env.get(self.variable):
            return env[self.variable]
        if prompt is None:
            raise self._make_missing(env)
        if not self.variable:
            return prompt(self.pool)
        try:
            return prompt(self.pool)
        except ConfigurationError as error:
            # Nobody could be asked: what is wrong is the variable, of which the prompt knows nothing.
            raise self._make_missing(env) from error

    def _make_missing(self, env: Mapping[str, str]) -> ConfigurationError:
        state = "is empty" if self.variable in env else "is not set"
        missing = f"the variable {self.variable} {state}" if self.variable else "no source is configured"
        remedy = f"set {self.variable}, or " if self.variable else "set "
        return ConfigurationError(
            f"there is no password for pool {self.pool}: {missing}, and nobody can be asked here",
            advice=f"{remedy}password_file or password_env in [pool:{self.pool}]",
        )

    def _read_file(self, path: Path) -> str:
        try:
            with path.open(encoding="utf-8-sig") as file:
                mode = stat.S_IMODE(path.stat().st_mode)
                password = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ConfigurationError(
                f"the password file {path} of pool {self.pool} cannot be read: {cause}",
                advice=f"correct password_file in [pool:{self.pool}]",
            ) from error
        if not password:
            raise ConfigurationError(
                f"the first line of the password file {path} of pool {self.pool} is empty",
                advice="write the password into its first line",
            )
        if mode & 0o077:
            _LOG.warning("the password file %s can be read by others than its owner: chmod 600 %s", path, path)
        return password
