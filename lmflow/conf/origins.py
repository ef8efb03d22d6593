"""What every option is and where its value comes from, with nothing secret in it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lmflow.conf import options, parsing, reading
from lmflow.conf.passwords import PasswordSource
from lmflow.conf.settings import Settings, make_settings, open_reader
from lmflow.models import PoolProfile

Origin = Callable[[str, str], str]

# Greedy: whatever a password contains, its end is the last @ there is.
_USER_PART = re.compile(r"(?P<start>://[^:/@]*:).*@")
_SECRET_PART = re.compile(r"(?P<start>[?&][^=&]*(?:pass|pwd|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)
# These mean "as lmflow chooses" when they are empty, so that an empty one in the file decides nothing.
_CHOSEN = {("DEFAULT", "state_dir"), ("DEFAULT", "default_pool"), ("database", "connection")}


@dataclasses.dataclass(frozen=True, slots=True)
class OptionValue:
    """One option as it counts. ``value`` is JSON: text, number, truth, list of texts or texts by text."""

    group: str
    option: str
    value: Any
    origin: str


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """Settings, where each of their values comes from, and where a file was looked for, in words and in order."""

    settings: Settings
    find_origin: Origin
    places: tuple[str, ...]


def explain(files: reading.Files = (), env: Mapping[str, str] | None = None) -> Explanation:
    """Read the configuration as ``load`` does and keep where each value came from. No password is read."""
    environment = os.environ if env is None else env
    reader = open_reader(files, env)

    def find_origin(group: str, option: str) -> str:
        decides = (group, option) not in _CHOSEN or reader.find_text(group, option)
        return reader.find_origin(group, option) if decides else reading.DEFAULT_ORIGIN

    return Explanation(make_settings(reader, environment, None), find_origin, reading.list_places(files, environment))


def list_values(settings: Settings, find_origin: Origin) -> Iterator[OptionValue]:
    """Yield every option of every group in the order of the sample, then of each pool in the order of the file."""
    values = {
        "DEFAULT": {
            "state_dir": str(settings.state_dir),
            "default_pool": settings.default_pool,
            "on_interrupt": settings.on_interrupt,
        },
        options.database_group.name: {"connection": mask_url(settings.database_url)},
        options.waits_group.name: settings.waits.to_json(),
    }
    known = {group.name: opts for group, opts in options.list_opts()}
    for name, profile in settings.pools.items():
        group = options.POOL_PREFIX + name
        values[group] = _describe_pool(profile, settings.sources.get(name) or PasswordSource(name), settings.env)
        known[group] = options.pool_opts
    for group, by_option in values.items():
        for opt in known[group]:
            value = by_option[opt.name]
            shown = parsing.escape(value) if isinstance(value, str) else value
            yield OptionValue(group, opt.name, shown, find_origin(group, opt.name))


def mask_url(url: str) -> str:
    """Return a database's URL without its password; rather too much is masked than too little."""
    masked = _SECRET_PART.sub(r"\g<start>***", url)
    if "://" not in masked and "@" in masked:
        return "***@" + masked.rpartition("@")[2]
    return _USER_PART.sub(r"\g<start>***@", masked)


def find_shared(pools: Mapping[str, PoolProfile]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each address that several profiles have, with their names: they are one pool, or one of them is wrong."""
    owners: dict[tuple[str, int], list[str]] = {}
    for name, profile in pools.items():
        for address in dict.fromkeys(address.lower() for address in profile.addresses):
            owners.setdefault((address, profile.port), []).append(name)
    return [(address, tuple(names)) for (address, _), names in owners.items() if len(names) > 1]


def _describe_pool(profile: PoolProfile, source: PasswordSource, env: Mapping[str, str]) -> dict[str, Any]:
    variable = source.variable and f"{source.variable} ({'set' if env.get(source.variable) else 'not set'})"
    return {
        "addresses": list(profile.addresses),
        "username": profile.username,
        "scheme": profile.scheme,
        "port": profile.port,
        "ca_file": profile.tls.ca_file,
        "fingerprints": dict(profile.tls.fingerprints),
        "insecure": profile.tls.insecure,
        "password_file": str(source.file or ""),
        "password_env": variable,
        "connect_timeout": profile.connect_timeout_seconds,
        "read_timeout": profile.read_timeout_seconds,
        "witness": profile.use_witness,
        "witness_timeout": profile.witness_timeout_seconds,
        "backoff": profile.backoff_seconds,
        "stream_timeout": profile.stream_timeout_seconds,
        "catch_up_timeout": profile.catch_up_timeout_seconds,
    }
