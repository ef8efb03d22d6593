"""``lmflow simulator``."""

from __future__ import annotations

import argparse

from cliff.command import Command


class Simulator(Command):
    """Serve a simulated pool over the wire of a real one."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options of ``python -m lmflow.simulator``: a test holds both to be the same."""
        parser = super().get_parser(prog_name)
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--world", metavar="FILE.json|lab", help="a declared world")
        source.add_argument("--pool-db", metavar="FILE.xml", help="a pool database as xapi saves it")
        parser.add_argument("--port", type=int, default=0, help="XAPI's port on every host (0: any free one)")
        parser.add_argument("--control-port", type=int, default=0, help="port of the control channel (0: any)")
        parser.add_argument("--time-scale", type=float, default=1.0, help="how much faster than a real pool")
        parser.add_argument("--seed", type=int, default=1, help="seed of everything random")
        parser.add_argument("--tls", nargs=2, metavar=("CERT.pem", "KEY.pem"), help="serve HTTPS with this certificate")
        parser.add_argument("--https", action="store_true", help="serve HTTPS with a certificate made now")
        parser.add_argument("--state", metavar="FILE", help="load the state from here if it exists, save it at the end")
        parser.add_argument("--ready-file", metavar="FILE", help="written once the pool listens: how to reach it")
        parser.add_argument("--idle-exit", type=float, metavar="SECONDS", help="end after so long without a request")
        parser.add_argument("--ignore-attempt-header", action="store_true", help="do not keep the attempt header")
        parser.add_argument("--refuse-witness", action="store_true", help="answer 401 at the witness end point")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Serve until told to stop."""
        from lmflow.simulator import serve  # noqa: PLC0415 - a server is started only when asked for

        return int(serve.run(parsed_args) or 0)
