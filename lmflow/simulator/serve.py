"""The simulated pool as a process of its own: options, ready file, state file, end."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from lmflow.simulator.kernel import Options
from lmflow.simulator.options import add_options
from lmflow.simulator.pool import SimulatedPool, World
from lmflow.simulator.worlds import pooldb, world

_LOOK_SECONDS = 0.2
_USAGE_ERROR = 2


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of ``python -m lmflow.simulator``."""
    parser = argparse.ArgumentParser(
        prog="python -m lmflow.simulator", description="Serve a simulated pool over the wire of a real one."
    )
    add_options(parser)
    return parser


def _make_options(options: argparse.Namespace) -> Options:
    certificate, key = options.tls or ("", "")
    return Options(
        port=options.port,
        time_scale=options.time_scale,
        seed=options.seed,
        https=options.https,
        certificate_file=certificate,
        key_file=key,
        ignore_attempt_header=options.ignore_attempt_header,
        refuse_witness=options.refuse_witness,
        host_assumed_dead_seconds=options.host_assumed_dead_seconds,
    )


def make_pool(options: argparse.Namespace) -> SimulatedPool:
    """Make the pool that the options ask for, from its state file if that exists. ValueError, KeyError, OSError."""
    state = Path(options.state) if options.state else None
    if state is not None and state.exists():
        return SimulatedPool(_make_options(options), state=json.loads(state.read_text("utf-8")))
    source: World = pooldb.load(options.pool_db) if options.pool_db else world.find(options.world, options.seed)
    return SimulatedPool(_make_options(options), world=source)


def _write_atomically(path: Path, data: Any) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(data, indent=1), "utf-8")
    partial.replace(path)


def _serve(pool: SimulatedPool, options: argparse.Namespace) -> None:
    if options.ready_file:
        _write_atomically(Path(options.ready_file), {"pid": os.getpid(), **pool.describe()})
    print(f"simulated pool on {pool.sessions.coordinator_address()}:{pool.server.port}", file=sys.stderr)  # noqa: T201
    while not pool.stopped.wait(_LOOK_SECONDS):
        if options.idle_exit and pool.idle_seconds > options.idle_exit:
            return


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop (SIGTERM, SIGINT, the control channel, idleness); returns the exit code."""
    try:
        pool = make_pool(options)
    except (ValueError, KeyError, OSError) as problem:
        print(f"no such pool can be: {problem}", file=sys.stderr)  # noqa: T201
        return _USAGE_ERROR

    def end(_number: int, _frame: FrameType | None) -> None:
        pool.stopped.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        pool.start(options.control_port)
        _serve(pool, options)
        if options.state:
            _write_atomically(Path(options.state), pool.dump())
    except OSError as problem:
        print(f"the pool cannot listen: {problem}", file=sys.stderr)  # noqa: T201
        return _USAGE_ERROR
    finally:
        pool.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0
