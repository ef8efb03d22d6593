"""Certificates of the simulated hosts: made now, one for each, where openssl is there; shipped ones otherwise."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

_DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the listeners present: a context by host reference, SHA-256 fingerprints (hex) by host reference."""

    contexts: Mapping[str, ssl.SSLContext]
    fingerprints: Mapping[str, str]
    ca_file: str | None = None


def _shipped(name: str) -> str:
    return str(resources.files("lmflow.simulator") / "data" / f"tls-{name}")


def _context(certificate_file: str, key_file: str) -> tuple[ssl.SSLContext, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    pem = Path(certificate_file).read_text("ascii")
    first = pem[: pem.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    first = first[first.index("-----BEGIN CERTIFICATE-----") :]
    return context, hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()


def use(addresses: Mapping[str, str], certificate_file: str, key_file: str, ca_file: str | None = None) -> Certificates:
    """Present one certificate on every host. OSError, ssl.SSLError when it cannot be read."""
    context, fingerprint = _context(certificate_file, key_file)
    return Certificates(dict.fromkeys(addresses, context), dict.fromkeys(addresses, fingerprint), ca_file)


def use_ca(addresses: Mapping[str, str]) -> Certificates:
    """Present the shipped certificate that the shipped CA signed."""
    return use(addresses, _shipped("ca-signed.pem"), _shipped("ca-signed-key.pem"), _shipped("ca.pem"))


def make_self_signed(addresses: Mapping[str, str]) -> Certificates:
    """Make a self-signed certificate for each host (reference -> address), as a fresh host has one."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return use(addresses, _shipped("self-signed.pem"), _shipped("self-signed-key.pem"))
    contexts, fingerprints = {}, {}
    with tempfile.TemporaryDirectory(prefix="lmflow-simulator-") as folder:
        for ref, address in addresses.items():
            certificate, key = f"{folder}/{address}.pem", f"{folder}/{address}-key.pem"
            command = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {_DAYS}".split()
            names = ["-subj", f"/CN={address}", "-addext", f"subjectAltName=IP:{address}"]
            files = ["-keyout", key, "-out", certificate]
            subprocess.run([openssl, *command, *names, *files], check=True, capture_output=True)  # noqa: S603 - no shell
            contexts[ref], fingerprints[ref] = _context(certificate, key)
    return Certificates(contexts, fingerprints)
