"""Sockets to a host of the pool: time-outs, certificates, and the line between *not sent* and *maybe sent*.

Everything that fails in here fails before a request leaves us; ``auto_open`` is off, so ``http.client`` never
opens a connection behind our back.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import select
import socket
import ssl

from lmflow.exceptions import ConfigurationError, LmflowError, LoginError, UnreachableError
from lmflow.models import PoolProfile, Tls


class NotSentError(Exception):
    """No connection came about, so not a byte of the request left us. ``reason`` holds no secret."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason


class CertificateError(NotSentError):
    """The host showed a certificate that the profile does not accept."""


def make_unreachable(profile: PoolProfile, error: NotSentError) -> LmflowError:
    """Return what the rest of the house is told when a connection could not be made."""
    if isinstance(error, CertificateError):
        return LoginError(
            f"pool {profile.name}: {error}",
            tried=[str(error)],
            advice="compare the certificate with the host's own, then set its fingerprint or CA in the pool's profile",
        )
    return UnreachableError(f"pool {profile.name} cannot be reached: {error}", tried=[str(error)])


class HostConnection(http.client.HTTPConnection):
    """One connection to one host, plain or TLS, opened by ``connect`` only."""

    auto_open = 0

    def __init__(self, profile: PoolProfile, address: str, *, connect_seconds: float, read_seconds: float) -> None:
        super().__init__(address.strip("[]"), profile.port, timeout=connect_seconds)
        self._profile = profile
        self._address = address
        self._read_seconds = read_seconds

    def connect(self) -> None:
        """Open the socket and check the certificate; raises NotSentError."""
        secure = _make_context(self._profile.tls, self._address) if self._profile.scheme == "https" else None
        reason = ""
        try:
            self._open_socket()
        except TimeoutError:
            reason = f"no connection within {self.timeout:g} s"
        except OSError as error:
            reason = f"cannot connect ({_say(error)})"
        if reason:
            self.close()
            raise NotSentError(self._address, reason)
        if secure is not None:
            self._start_tls(*secure)
        self.set_read_timeout(self._read_seconds)

    def set_read_timeout(self, seconds: float) -> None:
        """Bound each wait for bytes of a reply from now on."""
        if self.sock is not None:
            self.sock.settimeout(seconds)

    def interrupt(self) -> None:
        """End whatever is under way on the socket, from any thread; whoever waits there finds it closed."""
        sock = self.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)

    def is_idle(self) -> bool:
        """Say whether the connection may carry another request: open, and nothing unasked arrived on it.

        XAPI closes idle connections. Seeing that before sending keeps a request from being lost on a dead one.
        """
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poll.poll(0)

    def _open_socket(self) -> None:
        self.sock = socket.create_connection((self.host, self.port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _start_tls(self, context: ssl.SSLContext, expected: str | None) -> None:
        refused = ""
        reason = ""
        try:
            secured = context.wrap_socket(self.sock, server_hostname=self.host)
        except ssl.SSLCertVerificationError as error:
            refused = error.verify_message or "certificate verification failed"
        except TimeoutError:
            reason = f"no TLS handshake within {self.timeout:g} s"
        except OSError as error:
            reason = f"TLS handshake failed ({_say(error)})"
        if reason or refused:
            self.close()
        if reason:
            raise NotSentError(self._address, reason)
        if refused:
            seen = _find_fingerprint(self.host, self.port, self.timeout) or "not shown again"
            raise CertificateError(self._address, f"certificate refused: {refused}; its SHA-256 is {seen}")
        self.sock = secured
        if expected is not None:
            self._check_fingerprint(secured, expected)

    def _check_fingerprint(self, secured: ssl.SSLSocket, expected: str) -> None:
        seen = _digest(secured.getpeercert(binary_form=True))
        if hmac.compare_digest(seen.encode(), expected.encode()):
            return
        self.close()
        wanted = f"expected SHA-256 {expected}" if expected else "no fingerprint is configured for this address"
        raise CertificateError(self._address, f"certificate refused: {wanted}, seen {seen}")


def open_connection(
    profile: PoolProfile, address: str, *, connect_seconds: float, read_seconds: float
) -> HostConnection:
    """Return an open connection to a host, its certificate checked; raises NotSentError."""
    connection = HostConnection(profile, address, connect_seconds=connect_seconds, read_seconds=read_seconds)
    connection.connect()
    return connection


def _make_context(tls: Tls, address: str) -> tuple[ssl.SSLContext, str | None]:
    """Return the TLS context, and the fingerprint to compare afterwards ('' accepts none, None compares nothing)."""
    expected = _find_expected(tls, address)
    if expected is None and not tls.insecure:
        try:
            return ssl.create_default_context(cafile=tls.ca_file or None), None
        except OSError as error:
            raise ConfigurationError(f"CA file {tls.ca_file} cannot be used: {_say(error)}") from None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context, expected


def _find_expected(tls: Tls, address: str) -> str | None:
    """Return the fingerprint that this address must show; None when another kind of check applies."""
    for known, fingerprint in tls.fingerprints.items():
        if known.strip("[]") == address.strip("[]"):
            return _normalise(fingerprint)
    if tls.fingerprints and not tls.ca_file and not tls.insecure:
        return ""
    return None


def _find_fingerprint(host: str, port: int, seconds: float | None) -> str:
    """Look at a host's certificate without trusting it and without sending anything; '' when it does not show one."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            return _digest(tls.getpeercert(binary_form=True))
    except OSError:
        return ""


def _digest(certificate: bytes | None) -> str:
    return hashlib.sha256(certificate or b"").hexdigest()


def _normalise(fingerprint: str) -> str:
    text = fingerprint.lower().removeprefix("sha256:").removeprefix("sha256=")
    return text.replace(":", "").replace(" ", "")


def _say(error: OSError) -> str:
    return error.strerror or type(error).__name__
