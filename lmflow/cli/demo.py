"""``lmflow demo``."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from lmflow.cli.base import Action
from lmflow.cli.demo_pool import PROFILE, DemoPool, find_demo, start_demo, stop_demo
from lmflow.cli.door import Place
from lmflow.cli.main import LmflowApp
from lmflow.cli.progress import follow
from lmflow.cli.sentences import tell_outcome
from lmflow.exceptions import LmflowError

if TYPE_CHECKING:
    from lmflow.api import Client
    from lmflow.models import Run

_SHOWN, _CRASHED = ("web-01", "xcp-b"), ("web-02", "xcp-c")
_KILL_AT = 0.3
_CRASH_COPY_SECONDS = 240  # of the pool; long enough that a slow machine still catches it in the middle
_WATCH_SECONDS = 60.0
_LOOK_SECONDS = 0.05


class Demo(Action):
    """Show a migration in a simulated pool: no configuration, no real pool."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what else can be shown."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--crash", action="store_true", help="kill lmflow in mid-migration, for `lmflow resume`")
        which.add_argument("--stop", action="store_true", help="end the simulated pool and forget its runs")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Start the pool if none runs, and show."""
        app = cast(LmflowApp, self.app)
        if parsed_args.stop:
            app.printer.say("The demo pool has ended." if stop_demo() else "No demo pool was running.")
            return 0
        pool = find_demo() or start_demo()
        _tell_ready(app, pool)
        return _crash(app, pool) if parsed_args.crash else _show(app, pool)


def _tell_ready(app: LmflowApp, pool: DemoPool) -> None:
    state = pool.control("GET", "/state")
    hosts = len(state["host"])
    vms = sum(
        not (vm["is_a_template"] or vm["is_a_snapshot"] or vm["is_control_domain"]) for vm in state["VM"].values()
    )
    scale = float(pool.ready["time_scale"])
    app.printer.say(f'demo pool "{PROFILE}" ready: {hosts} hosts, {vms} VMs (simulated, time x{scale:g})')


def make_place(pool: DemoPool) -> Place:
    """Return the demo pool as a place to work with, whatever is configured."""
    return Place(
        database_url=pool.database_url,
        profiles={PROFILE: pool.make_profile()},
        password=pool.get_password,
        waits=pool.waits,
        default_pool=PROFILE,
    )


def _choose_destination(pool: DemoPool, vm_name: str, wanted: str) -> str:
    """Return the wanted host, or another one when the VM is there already: a demo always moves something."""
    state = pool.control("GET", "/state")
    (vm,) = (vm for vm in state["VM"].values() if vm["name_label"] == vm_name)
    present = state["host"].get(vm["resident_on"], {}).get("name_label")
    names = sorted(host["name_label"] for host in state["host"].values())
    return wanted if present != wanted else next(name for name in names if name != wanted)


def _show(app: LmflowApp, pool: DemoPool) -> int:
    vm_name, wanted = _SHOWN
    destination = _choose_destination(pool, vm_name, wanted)
    app.printer.say(f"$ lmflow migrate {vm_name} --to {destination}")
    with follow(app.printer, make_place(pool)) as following:
        outcome = following.client.migrate(vm_name, destination, pool=PROFILE, reason="lmflow demo")
        code = following.judge(outcome)
        picture = _draw(app, following.client, outcome.run)
    app.stdout.write(picture + "\n" + "\n".join(tell_outcome(outcome)) + "\n")
    for hint in _hint(pool, outcome.run.uuid[:8]):
        app.printer.say(hint)
    return int(code)


def _draw(app: LmflowApp, client: Client, run: Run) -> str:
    from lmflow.visualize import render  # noqa: PLC0415 - heavy: the engine

    encoding = getattr(app.stdout, "encoding", "") or "ascii"
    return render(client.picture(run.uuid), "text", ascii_only=not encoding.lower().startswith("utf"))


def _hint(pool: DemoPool, short: str) -> Iterator[str]:
    yield "Next:"
    for command, purpose in (
        (f"run show {short}", "what happened"),
        (f"graph {short} --format mermaid", "the picture for a wiki"),
        ("demo --crash", "lmflow is killed in mid-migration, and resumes"),
        ("demo --stop", f"ends the pool (it ends by itself when idle); its log is in {pool.directory}"),
    ):
        yield f"  lmflow {command:<34} {purpose}"


def _crash(app: LmflowApp, pool: DemoPool) -> int:
    """Run a migration in a child, kill the child in the middle of it, and say what to do."""
    vm_name, wanted = _CRASHED
    destination = _choose_destination(pool, vm_name, wanted)
    state = pool.control("GET", "/state")
    (vm,) = (vm for vm in state["VM"].values() if vm["name_label"] == vm_name)
    pool.control("POST", "/copy_seconds", {"vm": vm["uuid"], "seconds": _CRASH_COPY_SECONDS})
    app.printer.say(f"$ lmflow migrate {vm_name} --to {destination}")
    command = [sys.executable, "-m", "lmflow", "--config-file", str(pool.config_file)]
    command += ["-q"] if app.printer.is_quiet else []
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        [*command, "migrate", vm_name, "--to", destination, "--reason", "lmflow demo --crash"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        progress = _wait_for_middle(pool, child, vm_name)
    finally:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
    if app.printer.is_terminal and app.printer.stream is not None:
        app.printer.stream.write("\r\x1b[K")  # the bar of the one that was killed
        app.printer.stream.flush()
    app.stdout.write(f"killed at pool_migrate {progress * 100:.0f} %.  Now: {_name_resume(app, pool)}\n")
    return 0


def _wait_for_middle(pool: DemoPool, child: subprocess.Popen[bytes], vm_name: str) -> float:
    """Return the progress of the child's migration once the database shows it well on its way."""
    limit = time.monotonic() + _WATCH_SECONDS
    with make_place(pool).open_client() as client:
        while child.poll() is None and time.monotonic() < limit:
            for run in client.runs(active_only=True):
                if run.request.vm_name == vm_name:
                    reached = [n.progress for n in client.picture(run.uuid).nodes if n.progress is not None]
                    if reached and reached[0] >= _KILL_AT:
                        return reached[0]
            time.sleep(_LOOK_SECONDS)
    raise LmflowError(
        f"the migration was not seen in the middle (lmflow's exit code: {child.poll()})",
        advice="lmflow status, then lmflow demo --crash again",
    )


def _name_resume(app: LmflowApp, pool: DemoPool) -> str:
    """Return the command that resumes; with a configuration of one's own the demo's has to be named."""
    from lmflow import conf  # noqa: PLC0415 - heavy: oslo.config

    own = conf.load(tuple(app.options.config_file)).config_file
    return f"lmflow --config-file {pool.config_file} resume" if own else "lmflow resume"
