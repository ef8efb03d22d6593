"""Which certificate the coordinator has: told, on request, to a client that asked a member. Source: api_server.ml."""

from __future__ import annotations

from collections.abc import Mapping

from lmflow.simulator.kernel import Kernel

ASKED = "x-xenapi-request-host-certificate-thumbprint"
_TOLD = "x-xenapi-response-host-certificate-thumbprint"
_FIELDS = {"sha-256:master": "fingerprint_sha256", "sha-1:master": "fingerprint_sha1"}


def make_header(kernel: Kernel, headers: Mapping[str, str], outcome: str) -> dict[str, str]:
    """Make the header of a reply HOST_IS_SLAVE; empty when nobody asked for it or the answer is another."""
    field = _FIELDS.get(headers.get(ASKED, "").strip().lower())
    if field is None or outcome != "HOST_IS_SLAVE":
        return {}
    certificates = kernel.store.find("Certificate", host=kernel.coordinator_ref, type="host")
    return {_TOLD: kernel.store.value("Certificate", certificates[0], field)} if certificates else {}
