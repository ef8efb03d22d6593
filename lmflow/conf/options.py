"""All options with their help, units and limits; the sample file is generated from them."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from lmflow.models import PoolProfile, Site, Waits

POOL_PREFIX = "pool:"
_WAITS = Waits()
_SITE = Site()
_PROFILE = PoolProfile(name="", addresses=())
# Longer than any wait that is meant, and short enough for every clock and timer that it is given to.
_YEAR = 31_536_000

default_group = cfg.OptGroup(
    "DEFAULT",
    help="An environment variable OS_GROUP__OPTION, in capitals, goes before this file: OS_DEFAULT__STATE_DIR, "
    "OS_DATABASE__CONNECTION, OS_WAITS__LEASE_SECONDS. The sections [pool:NAME] are read from this file only. In every "
    "value $OPTION stands for the value of that option: write a dollar sign as $$. Which value comes from where: "
    "lmflow config show.",
)
default_opts = [
    cfg.StrOpt(
        "state_dir",
        sample_default="$XDG_STATE_HOME/lmflow",
        help="Directory for what lmflow remembers, on a local disk. Unless set: $XDG_STATE_HOME/lmflow, without that "
        "variable /var/lib/lmflow for root and ~/.local/state/lmflow for others.",
    ),
    cfg.StrOpt(
        "default_pool",
        default="",
        help="Name of the profile, [pool:NAME], that is used without --pool. With a single profile there is no need.",
    ),
    cfg.StrOpt(
        "on_interrupt",
        default="detach",
        choices=[
            ("detach", "let go of the run, resumable; the pool goes on"),
            ("cancel", "ask the pool to cancel, and wait for the end"),
        ],
        help="What the first ctrl-C, SIGTERM or SIGHUP does to a run.",
    ),
]

database_group = cfg.OptGroup("database", help="Where runs, events and TaskFlow's records are kept.")
database_opts = [
    cfg.StrOpt(
        "connection",
        secret=True,
        sample_default="sqlite:///<state_dir>/lmflow.db",
        help="SQLAlchemy URL: sqlite:////absolute/path, postgresql+psycopg://user@host/name (install "
        "lmflow[postgresql]) or mariadb+pymysql://user@host/name (lmflow[mariadb]). An SQLite file has to lie on a "
        "local disk. Machines that are to resume each other's runs need one server. Write a dollar sign as $$.",
    ),
]

waits_group = cfg.OptGroup("waits", help="Every wait, in seconds.")


def _wait(name: str, minimum: float, text: str) -> cfg.FloatOpt:
    return cfg.FloatOpt(name, default=getattr(_WAITS, name), min=minimum, max=_YEAR, help=f"{text} Seconds.")


waits_opts = [
    _wait("settle_seconds", 0, "How long the pool is watched after a loss before it may be called settled."),
    _wait("quiet_seconds", 0, "How long nothing may have changed before the pool counts as settled."),
    _wait("operation_seconds", 0, "How long another operation on the VM is waited for before the submit is refused."),
    _wait("pool_seconds", 0, "How long a pool that does not answer, or a host that does not come back, is waited for."),
    _wait("deadline_seconds", 1, "How long one migration may take before lmflow lets go of it, resumable."),
    _wait("poll_seconds", 0.001, "Pause between two looks where the pool sends no event."),
    _wait("event_seconds", 0.01, "How long one call waits for an event of the pool."),
    _wait("look_seconds", 0.01, "How long a migration is left without a look while the pool tells of no change."),
    _wait("park_seconds", 0, "How long a migration that waits keeps its thread, unless others need it."),
    _wait("write_seconds", 0, "How long what no crash may cost waits for a write that it can go along with."),
    _wait("lease_seconds", 1, "How long the lease of an owner that fell silent lasts, by the database's clock."),
    _wait("heartbeat_seconds", 0.1, "Pause between two renewals of a lease; at most a third of lease_seconds."),
    _wait("outage_seconds", 0, "How long a database that is away is waited for before the run is left resumable."),
    _wait(
        "redo_seconds",
        0,
        "How old an attempt without a reply may be to be sent again, once it is shown that it never began. XAPI keeps "
        "the record of a finished task for 65 minutes: later, its absence shows nothing.",
    ),
    _wait(
        "cancel_seconds",
        0,
        "How long a task that cannot be cancelled yet is waited for before a request to cancel is answered 'not "
        "cancellable now'.",
    ),
]

checks_group = cfg.OptGroup("checks", help="The rules that a migration is judged by: lmflow check --sources.")
checks_opts = [
    cfg.ListOpt("disabled", default=[], help="Names of rules that are not asked, such as host.version."),
    cfg.FloatOpt(
        "timeout",
        default=_SITE.plugin_seconds,
        min=0.01,
        max=_YEAR,
        help="How long one call of a rule or strategy that is not lmflow's own may take. Seconds.",
    ),
    cfg.StrOpt(
        "own_vm",
        default=_SITE.own_vm_uuid,
        help="UUID of the VM in which lmflow runs, which it does not migrate: it would stop watching in the middle. "
        "'auto' reads it from this machine; leave it empty when lmflow runs in no VM of its pools.",
    ),
]

placement_group = cfg.OptGroup("placement", help="Where a VM goes when no destination is named.")
placement_opts = [
    cfg.StrOpt(
        "strategy",
        default=_SITE.strategy,
        help="How the hosts that would take it are ranked: headroom (most free memory), spread (fewest VMs), pack "
        "(least free memory), or one that an entry point of lmflow.strategies adds.",
    ),
    cfg.IntOpt(
        "max_retries",
        default=_SITE.max_retries,
        min=0,
        max=1000,
        help="How many more hosts are tried when the chosen one turns out unfit before the VM is on its way.",
    ),
]

hooks_group = cfg.OptGroup("hooks", help="What is run around each migration, on the machine that drives it.")
hooks_opts = [
    cfg.ListOpt("before", default=[], help="Entry points of lmflow.hooks, called before anything is changed."),
    cfg.ListOpt("after", default=[], help="The same, once the VM is confirmed on its destination."),
    cfg.StrOpt(
        "command_before",
        default="",
        help="Command line, run before anything is changed, without a shell; a JSON document is its stdin. A program "
        "that is named with a slash counts from this file's directory.",
    ),
    cfg.StrOpt("command_after", default="", help="The same, once the VM is confirmed on its destination."),
    cfg.FloatOpt("timeout", default=60.0, min=0.01, max=_YEAR, help="How long each of them may take. Seconds."),
    cfg.StrOpt(
        "on_failure",
        default="warn",
        choices=[
            ("warn", "say so and go on"),
            ("fatal", "before: end the run with nothing changed; after: leave it resumable at this step"),
        ],
        help="What the failure of a hook means.",
    ),
]

pool_group_help = (
    "How to reach one pool. Write one such section for each pool, with its own name behind the colon. A run stores "
    "this name and the pool's UUID; it is not resumed in another pool. Capitals make no difference between two names."
)
pool_opts = [
    cfg.ListOpt(
        "addresses",
        default=[],
        sample_default=["192.0.2.11", "192.0.2.12"],
        help="Host names or IP addresses of the pool's members, without scheme or port. Any one of them will do, the "
        "coordinator is found; the others are tried when it does not answer. Required.",
    ),
    cfg.StrOpt("username", default=_PROFILE.username, help="User to log in as."),
    cfg.StrOpt("scheme", default=_PROFILE.scheme, choices=["https", "http"], help="Use http for tests only."),
    cfg.PortOpt(
        "port", min=1, sample_default=443, help="Port of the API on each host. Unless set: 443 for https, 80 for http."
    ),
    cfg.StrOpt("ca_file", default="", help="File with the CA certificates (PEM) that sign the hosts' certificates."),
    cfg.DictOpt(
        "fingerprints",
        default={},
        sample_default={"192.0.2.11": "0f3a…"},
        help="SHA-256 fingerprint (64 hex digits, colons allowed) of each host's certificate by its address, for "
        "self-signed certificates: ADDRESS:FINGERPRINT, several with commas between.",
    ),
    cfg.BoolOpt("insecure", default=False, help="Do not check certificates at all. lmflow says so each time."),
    cfg.StrOpt(
        "password_file",
        default="",
        help="File whose first line is the password; readable by its owner only. It comes before password_env; with "
        "neither, lmflow asks on the terminal.",
    ),
    cfg.StrOpt("password_env", default="", help="Name of an environment variable that holds the password."),
    cfg.FloatOpt(
        "connect_timeout",
        default=_PROFILE.connect_timeout_seconds,
        min=0.01,
        max=_YEAR,
        help="How long to wait for a host to accept a connection. Seconds.",
    ),
    cfg.FloatOpt(
        "read_timeout",
        default=_PROFILE.read_timeout_seconds,
        min=0.01,
        max=_YEAR,
        help="How long to wait for a reply. Seconds.",
    ),
    cfg.BoolOpt(
        "witness",
        default=_PROFILE.use_witness,
        help="Ask a host's own hypervisor daemon where a VM runs, read-only, when XAPI's view cannot settle it. "
        "Without it more runs end as unknown.",
    ),
    cfg.FloatOpt(
        "witness_timeout",
        default=_PROFILE.witness_timeout_seconds,
        min=0.01,
        max=_YEAR,
        help="How long to wait for that daemon's reply. Seconds.",
    ),
    cfg.FloatOpt(
        "backoff",
        default=_PROFILE.backoff_seconds,
        min=0,
        max=_YEAR,
        help="The longest pause before a pool that does not let us in is asked again; it grows up to that. Seconds.",
    ),
    cfg.FloatOpt(
        "stream_timeout",
        default=_PROFILE.stream_timeout_seconds,
        min=0.01,
        max=_YEAR,
        help="How long one call for the pool's events waits for them; it is made again then. Seconds.",
    ),
    cfg.FloatOpt(
        "catch_up_timeout",
        default=_PROFILE.catch_up_timeout_seconds,
        min=0,
        max=_YEAR,
        help="How long a look waits for those events to reach the present before it asks the pool itself. Seconds.",
    ),
]


GROUPS = (
    (waits_group, waits_opts),
    (checks_group, checks_opts),
    (placement_group, placement_opts),
    (hooks_group, hooks_opts),
)


def list_opts() -> list[tuple[cfg.OptGroup, Sequence[cfg.Opt]]]:
    """Return all options by group, for oslo.config's generator; ``pool:name`` stands for any profile."""
    return [
        (default_group, default_opts),
        (database_group, database_opts),
        *GROUPS,
        (cfg.OptGroup(f"{POOL_PREFIX}name", help=pool_group_help), pool_opts),
    ]
