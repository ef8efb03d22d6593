"""The settings of one process, or of one caller in it, built from file and environment."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from lmflow.conf import options, reading
from lmflow.conf.environment import make_variable
from lmflow.conf.passwords import PasswordSource
from lmflow.conf.reading import Reader
from lmflow.models import Hook, PoolProfile, Site, Tls, Waits

_ADDRESS = re.compile(r"[A-Za-z0-9._%-]+|[0-9A-Fa-f:.%]*:[0-9A-Fa-f:.%]*:[A-Za-z0-9:.%]*")

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What was configured, as values that do not change. It holds no password, and ``database_url``, which may, is
    left out of repr(). ``env`` is where ``password()`` looks for a variable at the time it is called.
    """

    database_url: str = dataclasses.field(repr=False)
    state_dir: Path
    default_pool: str
    pools: Mapping[str, PoolProfile]
    waits: Waits
    site: Site = dataclasses.field(default_factory=Site)
    on_interrupt: str = "detach"
    config_file: Path | None = None
    sources: Mapping[str, PasswordSource] = dataclasses.field(default_factory=dict)
    env: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    prompt: Callable[[str], str] | None = dataclasses.field(default=None, repr=False)

    def password(self, profile_name: str) -> str:
        """Return a profile's password from its file, its variable or the prompt; ConfigurationError without any."""
        source = self.sources.get(profile_name) or PasswordSource(profile_name)
        return source.read(self.env, self.prompt)


def load(
    files: reading.Files = (),
    env: Mapping[str, str] | None = None,
    *,
    prompt: Callable[[str], str] | None = None,
) -> Settings:
    """Read the configuration; every mistake is a ConfigurationError that names file, option and remedy.

    ``files`` are those named on the command line (the last one counts). One file is read: the named one, else
    $LMFLOW_CONFIG_FILE, else ~/.config/lmflow/lmflow.conf, else /etc/lmflow/lmflow.conf; none is needed.
    With ``env`` None the process's environment is used and oslo.config's own driver is on: OS_GROUP__OPTION (for
    example OS_DATABASE__CONNECTION, OS_WAITS__LEASE_SECONDS, OS_DEFAULT__DEFAULT_POOL) goes before the file; it sets
    no option of a [pool:NAME].

    For embedding: nothing global is read or left behind (not ``oslo_config.cfg.CONF``, not ``sys.argv``), so that each
    call makes settings of its own, in any thread; nothing is written, started or asked for, and no password is read.
    """
    environment = os.environ if env is None else env
    return make_settings(open_reader(files, env), environment, prompt)


def open_reader(files: reading.Files, env: Mapping[str, str] | None) -> Reader:
    """Find the file and read it, with oslo.config's environment driver if ``env`` is None."""
    return Reader(reading.find_file(files, os.environ if env is None else env), use_env=env is None)


def make_settings(reader: Reader, env: Mapping[str, str], prompt: Callable[[str], str] | None) -> Settings:
    """Build the settings from what was read."""
    state_dir = _state_dir(reader, env)
    reader.replace("state_dir", str(state_dir).replace("$", "$$"))
    pools = {name: _make_profile(reader, name, env) for name in reader.pools}
    return Settings(
        database_url=reader.get("database", "connection") or f"sqlite:///{state_dir / 'lmflow.db'}",
        state_dir=state_dir,
        default_pool=_default_pool(reader, pools),
        pools=MappingProxyType(pools),
        waits=_make_waits(reader),
        site=_make_site(reader, env),
        on_interrupt=reader.get("DEFAULT", "on_interrupt"),
        config_file=reader.path,
        sources=MappingProxyType({name: _make_source(reader, name, env) for name in reader.pools}),
        env=env,
        prompt=prompt,
    )


def _state_dir(reader: Reader, env: Mapping[str, str]) -> Path:
    configured = reader.get("DEFAULT", "state_dir")
    if configured:
        return _path(reader, configured, env)
    base = env.get("XDG_STATE_HOME", "")
    if base.startswith("/"):  # the XDG specification has relative paths ignored
        return Path(base) / "lmflow"
    if os.geteuid() == 0:
        return Path("/var/lib/lmflow")
    home = reading.find_home(env)
    if home is None:
        raise reader.bad("DEFAULT", "state_dir", "it has to be set for a user without a home directory")
    return home / ".local" / "state" / "lmflow"


def _path(reader: Reader, text: str, env: Mapping[str, str]) -> Path:
    """Return an absolute path; a relative one counts from the configuration file's directory."""
    base = reader.path.parent if reader.path else Path.cwd()
    return base / reading.expand_home(text, env)


def _default_pool(reader: Reader, pools: Mapping[str, PoolProfile]) -> str:
    name = str(reader.get("DEFAULT", "default_pool"))
    if name and name not in pools:
        known = ", ".join(pools) or "none"
        raise reader.bad("DEFAULT", "default_pool", f"there is no section [pool:{name}] (profiles: {known})")
    return name or (next(iter(pools)) if len(pools) == 1 else "")


def _make_waits(reader: Reader) -> Waits:
    waits = Waits(**{field.name: float(reader.get("waits", field.name)) for field in dataclasses.fields(Waits)})
    if waits.heartbeat_seconds * 3 > waits.lease_seconds:
        raise reader.bad(
            "waits",
            "heartbeat_seconds",
            f"{waits.heartbeat_seconds:g} is more than a third of lease_seconds ({waits.lease_seconds:g}), so that two "
            "late renewals would lose the lease",
        )
    return waits


def _make_site(reader: Reader, env: Mapping[str, str]) -> Site:
    own_vm = reader.get("checks", "own_vm").lower()
    if own_vm not in ("", "auto") and not _UUID.fullmatch(own_vm):
        raise reader.bad("checks", "own_vm", "it is neither a UUID nor 'auto' nor empty")
    strategy = reader.get("placement", "strategy")
    if not strategy:
        raise reader.bad("placement", "strategy", "it may not be empty")
    return Site(
        rules_off=_names(reader, "checks", "disabled"),
        strategy=strategy,
        max_retries=reader.get("placement", "max_retries"),
        plugin_seconds=float(reader.get("checks", "timeout")),
        own_vm_uuid=own_vm,
        hooks=tuple(_make_hooks(reader, env)),
    )


def _make_hooks(reader: Reader, env: Mapping[str, str]) -> Iterator[Hook]:
    seconds, fatal = float(reader.get("hooks", "timeout")), reader.get("hooks", "on_failure") == "fatal"
    hidden = tuple(sorted({make_variable("database", "connection"), *_find_password_variables(reader)}))
    for moment in ("before", "after"):
        for name in _names(reader, "hooks", moment):
            yield Hook(moment=moment, name=name, timeout_seconds=seconds, fatal=fatal)
        words = _command(reader, f"command_{moment}", env)
        if words:
            yield Hook(moment=moment, command=words, timeout_seconds=seconds, fatal=fatal, hidden=hidden)


def _command(reader: Reader, name: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of a command line; a program with a slash counts from the file's directory."""
    try:
        words = shlex.split(reader.get("hooks", name))
    except ValueError as error:
        raise reader.bad("hooks", name, f"it is no command line: {error}") from error
    if words and "/" in words[0]:
        words[0] = str(_path(reader, words[0], env))
    return tuple(words)


def _find_password_variables(reader: Reader) -> Iterator[str]:
    for pool in reader.pools:
        variable = reader.get(options.POOL_PREFIX + pool, "password_env")
        if variable:
            yield variable


def _names(reader: Reader, group: str, name: str) -> tuple[str, ...]:
    names = tuple(text.strip() for text in reader.get(group, name))
    if not all(names) or len(set(names)) != len(names):
        raise reader.bad(group, name, "it is a list of different names with commas between")
    return names


def _make_profile(reader: Reader, name: str, env: Mapping[str, str]) -> PoolProfile:
    group = options.POOL_PREFIX + name
    scheme = reader.get(group, "scheme")
    ca_file = reader.get(group, "ca_file")
    if ca_file:
        ca_file = str(_path(reader, ca_file, env))
        _check_file(reader, group, "ca_file", Path(ca_file))
    username = reader.get(group, "username")
    if not username:
        raise reader.bad(group, "username", "it may not be empty")
    return PoolProfile(
        name=name,
        addresses=_addresses(reader, group),
        username=username,
        scheme=scheme,
        port=reader.get(group, "port") or (443 if scheme == "https" else 80),
        tls=Tls(ca_file=ca_file, fingerprints=_fingerprints(reader, group), insecure=reader.get(group, "insecure")),
        connect_timeout_seconds=reader.get(group, "connect_timeout"),
        read_timeout_seconds=reader.get(group, "read_timeout"),
        witness_timeout_seconds=reader.get(group, "witness_timeout"),
        use_witness=reader.get(group, "witness"),
        backoff_seconds=reader.get(group, "backoff"),
        stream_timeout_seconds=reader.get(group, "stream_timeout"),
        catch_up_timeout_seconds=reader.get(group, "catch_up_timeout"),
    )


def _check_file(reader: Reader, group: str, name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise reader.bad(group, name, f"{path} cannot be read: {error.strerror}") from error


def _addresses(reader: Reader, group: str) -> tuple[str, ...]:
    addresses = tuple(address for address in reader.get(group, "addresses") if address)
    if not addresses:
        raise reader.bad(group, "addresses", "at least one member's name or IP address is required")
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise reader.bad(group, "addresses", f"{address!r} is no bare name or address; scheme and port are options")
    return addresses


def _fingerprints(reader: Reader, group: str) -> dict[str, str]:
    """Return fingerprints by address as 64 lower-case hex digits."""
    fingerprints = {}
    for address, text in reader.get(group, "fingerprints").items():
        digits = text.replace(":", "").strip().lower()
        if not re.fullmatch(r"[0-9a-f]{64}", digits):
            raise reader.bad(group, "fingerprints", f"that of {address} is no SHA-256: 64 hex digits are wanted")
        fingerprints[address] = digits
    return fingerprints


def _make_source(reader: Reader, name: str, env: Mapping[str, str]) -> PasswordSource:
    group = options.POOL_PREFIX + name
    file, variable = reader.get(group, "password_file"), reader.get(group, "password_env")
    if variable and not _VARIABLE.fullmatch(variable):
        # Without the text itself: it may be the password.
        raise reader.bad(group, "password_env", "that is no name of a variable; the password itself does not go there")
    return PasswordSource(pool=name, file=_path(reader, file, env) if file else None, variable=variable)
