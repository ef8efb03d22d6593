"""What a simulated pool can be asked to be, on the command line; nothing heavy is imported for it."""

from __future__ import annotations

import argparse


def _read_port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port (0 to 65535)")
    return port


def _read_scale(text: str) -> float:
    scale = float(text)
    if not 1.0 <= scale <= 1000.0:
        raise argparse.ArgumentTypeError(f"a pool runs 1 to 1000 times faster than a real one, not {text}")
    return scale


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``python -m lmflow.simulator`` and ``lmflow simulator`` to a parser."""
    source = parser.add_mutually_exclusive_group(required=True)
    worlds = "a declared world, or a generated one (big: generated:64x5000)"
    source.add_argument("--world", metavar="FILE.json|lab|trouble|big|generated:HOSTSxVMS", help=worlds)
    source.add_argument("--pool-db", metavar="FILE.xml", help="a pool database as xapi saves it")
    parser.add_argument("--port", type=_read_port, default=0, help="XAPI's port on every host (0: any free one)")
    parser.add_argument("--control-port", type=_read_port, help="open the control channel on this port (0: any)")
    parser.add_argument("--time-scale", type=_read_scale, default=1.0, help="how much faster than a real pool")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random")
    parser.add_argument("--tls", nargs=2, metavar=("CERT.pem", "KEY.pem"), help="serve HTTPS with this certificate")
    parser.add_argument("--https", action="store_true", help="serve HTTPS with a certificate made now")
    parser.add_argument("--state", metavar="FILE", help="load the state from here if it exists, save it at the end")
    parser.add_argument("--ready-file", metavar="FILE", help="written once the pool listens: how to reach it")
    parser.add_argument("--idle-exit", type=float, metavar="SECONDS", help="end after so long without a request")
    parser.add_argument("--ignore-attempt-header", action="store_true", help="do not keep the attempt header")
    parser.add_argument("--refuse-witness", action="store_true", help="answer 401 at the witness end point")
    given_up = "until a silent host is given up"
    parser.add_argument("--host-assumed-dead-seconds", type=float, default=600.0, metavar="SECONDS", help=given_up)
