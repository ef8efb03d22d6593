"""The variables of oslo.config's environment driver, OS_GROUP__OPTION, and those of them that would have no effect."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable

from lmflow.conf import options
from lmflow.exceptions import ConfigurationError

_LOG = logging.getLogger(__name__)
_PREFIX = "OS_"
# oslo.config would open another source of values, which nothing of lmflow names.
_SOURCE = "OS_DEFAULT__CONFIG_SOURCE"


def make_variable(group: str, name: str) -> str:
    """Return the name of the variable that sets an option."""
    return f"{_PREFIX}{group}__{name}".upper()


def check_variables(names: Iterable[str]) -> None:
    """Refuse, or warn of, variables that look like options and set none.

    Refused is what can only be meant for lmflow; other programs with oslo.config share the groups DEFAULT and database.
    """
    known = [
        make_variable(group.name, opt.name)
        for group, opts in options.list_opts()
        if not group.name.startswith(options.POOL_PREFIX)
        for opt in opts
    ]
    # Other programs have groups of these names too.
    shared = [g.name.upper() for g in (options.database_group, *(g for g, _ in options.GROUPS))]
    for name in names:
        group, found, option = name.upper().removeprefix(_PREFIX).partition("__")
        if name in known or not found or not name.upper().startswith(_PREFIX):
            continue
        if _is_of_pool(group, option):
            raise ConfigurationError(
                f"the environment variable {name} sets nothing: sections [pool:NAME] are read from the file only",
                advice="write the option into the file, and unset the variable",
            )
        near = difflib.get_close_matches(name.upper(), known, n=1)
        if group == options.waits_group.name.upper() or name.upper() in known or name == _SOURCE:
            raise ConfigurationError(
                f"the environment variable {name} names no option of lmflow",
                candidates=near,
                advice="unset it; lmflow.conf.sample lists all names",
            )
        if group in ("DEFAULT", *shared):
            _LOG.warning("the environment variable %s names no option of lmflow", name)


def _is_of_pool(group: str, option: str) -> bool:
    """Tell whether a name is meant for a pool: any with our colon, others only if the option is one of ours."""
    ours = {opt.name.upper() for opt in options.pool_opts}
    return group.startswith("POOL:") or (group.startswith("POOL_") and option in ours)
