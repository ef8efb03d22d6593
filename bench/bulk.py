"""What reading 64 hosts and 5,000 VMs costs: lmflow's own connection beside the SDK as it is shipped, in turns.

Both make the same two calls of one simulated pool, each in a session of its own, and hold what was parsed. Beside that
stand the overview that ``check`` makes of such a pool, and what parsing costs with ``json`` and, where it is
installed, with ``orjson``: ``python -m bench.bulk``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import XenAPI

from bench.check import HOSTS, VMS, connect, find_vm, serve
from lmflow.xapi.connection import Connection
from lmflow.xapi.overview import read_overview

ROUNDS = 5
CALLS = ("host.get_all_records", "VM.get_all_records")


def open_sdk(told: dict[str, Any]) -> XenAPI.Session:
    """Log in with the SDK as it is shipped."""
    session = XenAPI.Session(f"{told['scheme']}://{told['coordinator']}:{told['port']}", ignore_ssl=True)
    session.xenapi.login_with_password(told["username"], told["password"], "1.0", "lmflow-bench")
    return session


def take_turns(subjects: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each subject; what a subject returns is dropped after its time was taken."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, subject in subjects.items():
            began = time.perf_counter()
            kept = subject()
            if number:  # the first round fills what the pool keeps of its records
                seconds[name].append(time.perf_counter() - began)
            del kept
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def list_subjects(conn: Connection, session: XenAPI.Session) -> dict[str, Callable[[], object]]:
    """Return what takes turns."""
    vm_uuid = find_vm(conn)
    body = json.dumps(conn.read(CALLS[1]), ensure_ascii=False).encode()
    subjects: dict[str, Callable[[], object]] = {
        "sdk": lambda: [session.xenapi_request(call, ()) for call in CALLS],
        "lmflow": lambda: [conn.read(call) for call in CALLS],
        "overview": lambda: read_overview(conn, [vm_uuid], now=0.0),
        "parse_json": lambda: json.loads(body),
    }
    try:
        orjson = importlib.import_module("orjson")
    except ImportError:
        return subjects
    return {**subjects, "parse_orjson": lambda: orjson.loads(body)}


def measure(*, hosts: int = HOSTS, vms: int = VMS, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the medians in milliseconds, ``ratio`` (the SDK's time to lmflow's), and the load before and after."""
    before = os.getloadavg()[0]
    with serve(hosts, vms) as told, connect(told) as conn:
        session = open_sdk(told)
        taken = take_turns(list_subjects(conn, session), rounds)
        session.xenapi.session.logout()
    return {
        **{f"{name}_ms": round(seconds * 1e3) for name, seconds in taken.items()},
        "ratio": round(taken["sdk"] / taken["lmflow"], 2),
        "hosts": hosts,
        "vms": vms,
        "rounds": rounds,
        "load_before": round(before, 1),
        "load_after": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure, print the results and write JSON where asked."""
    parser = argparse.ArgumentParser(description="Measure what reading a big pool costs.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--hosts", type=int, default=HOSTS, help=f"default {HOSTS}")
    parser.add_argument("--vms", type=int, default=VMS, help=f"default {VMS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where it goes; default: nowhere")
    options = parser.parse_args()
    found = measure(hosts=options.hosts, vms=options.vms, rounds=options.rounds)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(", ".join(f"{key} {value}" for key, value in found.items()) + "\n")


if __name__ == "__main__":
    main()
