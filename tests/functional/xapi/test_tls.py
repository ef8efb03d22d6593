"""Certificates are checked before anything is sent; what is refused names what was seen."""

import dataclasses
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmflow.exceptions import ConfigurationError, LoginError, UnreachableError
from lmflow.models import Host, Tls
from lmflow.simulator.wire import tls as certificates
from lmflow.xapi import witness
from lmflow.xapi.connection import Connection
from tests.support.scripted_host import ScriptedHost

ADDRESS = "127.0.0.1"


@pytest.fixture(scope="module")
def shown() -> tuple[ssl.SSLContext, str]:
    """A self-signed certificate and its fingerprint."""
    made = certificates.make_self_signed({"h": ADDRESS})
    return made.contexts["h"], made.fingerprints["h"]


@pytest.fixture
def host(shown: tuple[ssl.SSLContext, str]) -> Iterator[ScriptedHost]:
    with ScriptedHost(tls=shown[0]) as made:
        yield made


def log_in(host: ScriptedHost, tls: Tls) -> Connection:
    return Connection.open(host.profile(tls=tls), lambda: "password")


def test_fingerprint(host: ScriptedHost, shown: tuple[ssl.SSLContext, str]) -> None:
    digest = shown[1]
    colons = ":".join(digest[i : i + 2] for i in range(0, 64, 2)).upper()
    for written in (digest, colons, f"SHA256:{colons}"):
        log_in(host, Tls(fingerprints={ADDRESS: written})).close()


@pytest.mark.parametrize("known", [{ADDRESS: "00" * 32}, {"127.0.0.9": "00" * 32}])
def test_wrong_fingerprint(host: ScriptedHost, shown: tuple[ssl.SSLContext, str], known: dict[str, str]) -> None:
    with pytest.raises(LoginError) as caught:
        log_in(host, Tls(fingerprints=known))
    (said,) = caught.value.tried
    assert ADDRESS in said
    assert shown[1] in said
    assert ("00" * 32 in said) == (ADDRESS in known)
    assert host.requests == []


def test_unknown_authority(host: ScriptedHost, shown: tuple[ssl.SSLContext, str]) -> None:
    with pytest.raises(LoginError) as caught:
        log_in(host, Tls())
    assert shown[1] in str(caught.value)
    assert host.requests == []


def test_insecure_must_be_said_and_is_shown(host: ScriptedHost, caplog: pytest.LogCaptureFixture) -> None:
    log_in(host, Tls(insecure=True)).close()
    assert "certificates are not checked" in caplog.text


def test_authority_from_file() -> None:
    made = certificates.use_ca({"h": ADDRESS})
    with ScriptedHost(tls=made.contexts["h"]) as host:
        log_in(host, Tls(ca_file=made.ca_file or "")).close()
        with pytest.raises(LoginError):
            log_in(host, Tls())


def test_authority_file_that_is_none(host: ScriptedHost, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        log_in(host, Tls(ca_file=str(tmp_path / "missing.pem")))


def test_changing_calls_check_the_certificate_anew(host: ScriptedHost, shown: tuple[ssl.SSLContext, str]) -> None:
    known = {ADDRESS: shown[1]}
    conn = log_in(host, Tls(fingerprints=known))
    conn.arm()
    conn.link.session.close()  # the next call has to connect
    known[ADDRESS] = "00" * 32
    with pytest.raises(LoginError):
        conn.start("VM.pool_migrate", attempt_id="a")
    assert host.count("Async.VM.pool_migrate") == 0
    known[ADDRESS] = shown[1]
    conn.close()


def test_witness_checks_the_certificate(host: ScriptedHost, shown: tuple[ssl.SSLContext, str]) -> None:
    known = {ADDRESS: shown[1]}
    conn = log_in(host, Tls(fingerprints=known))
    known[ADDRESS] = "00" * 32
    view = witness.ask(conn, Host("h", "xcp-a", ADDRESS, enabled=True, live=True), "0" * 36)
    assert not view.answered
    assert "certificate" in view.reason
    assert host.count("VM.stat") == 0
    known[ADDRESS] = shown[1]
    conn.close()


def test_no_tls_there() -> None:
    with ScriptedHost() as host:
        profile = dataclasses.replace(host.profile(tls=Tls(insecure=True)), scheme="https", connect_timeout_seconds=2.0)
        with pytest.raises(UnreachableError, match="TLS handshake") as caught:
            Connection.open(profile, lambda: "password")
        assert not isinstance(caught.value, LoginError)
