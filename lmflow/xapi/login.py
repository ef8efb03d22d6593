"""Log in to a pool: try its addresses, follow a member to its coordinator."""

from __future__ import annotations

import dataclasses
import logging

import XenAPI

from lmflow.exceptions import LoginError, UnreachableError
from lmflow.models import PoolProfile
from lmflow.xapi.failures import GONE, SESSION_INVALID
from lmflow.xapi.sdk import LostReplyError, OneShotSession
from lmflow.xapi.wire import CertificateError, NotSentError

MAX_REDIRECTS = 4

_log = logging.getLogger(__name__)
_API_VERSION = "1.0"


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """A session that the coordinator at ``address`` gave us."""

    session: OneShotSession = dataclasses.field(repr=False)
    address: str
    session_uuid: str
    pool_uuid: str
    pool_reference: str = dataclasses.field(repr=False)


def log_in(profile: PoolProfile, password: str, originator: str, *, first: str = "") -> Login:
    """Return a login to the pool's coordinator; ``first`` is an address to try before the profile's.

    A member answers HOST_IS_SLAVE with its coordinator's bare address: scheme and port stay the profile's.
    Each address is asked once. Raises LoginError (wrong password at once; a certificate refused and nobody
    else letting us in) or UnreachableError.
    """
    if profile.scheme == "https" and profile.tls.insecure:
        _log.warning("pool %s: certificates are not checked (insecure)", profile.name)
    waiting = list(dict.fromkeys([*([first] if first else []), *profile.addresses]))
    asked: set[str] = set()
    tried: list[str] = []
    redirects = 0
    refused = False
    while waiting:
        address = waiting.pop(0)
        if address in asked:
            continue
        asked.add(address)
        try:
            return _log_in_at(profile, address, password, originator)
        except NotSentError as error:
            refused = refused or isinstance(error, CertificateError)
            tried.append(str(error))
        except LostReplyError as error:
            tried.append(f"{address}: {error.cause}")
        except XenAPI.Failure as failure:
            tried.append(_judge(profile, address, failure.details))
            if failure.details[0] == "HOST_IS_SLAVE" and redirects < MAX_REDIRECTS and len(failure.details) > 1:
                redirects += 1
                waiting.insert(0, failure.details[1])
    kind = LoginError if refused else UnreachableError
    raise kind(
        f"pool {profile.name} let us in nowhere: {'; '.join(tried) or 'its profile names no address'}",
        tried=tried,
        advice="check the addresses, port and TLS options of the pool's profile",
    )


def log_out(session: OneShotSession, reference: str) -> bool:
    """End the session of that reference, best effort; True when the pool said that it is over."""
    try:
        session.call("session.logout", reference)
    except (NotSentError, LostReplyError):
        return False
    except XenAPI.Failure as failure:
        return failure.details[0] in GONE or failure.details[0] == SESSION_INVALID
    return True


def _log_in_at(profile: PoolProfile, address: str, password: str, originator: str) -> Login:
    """Log in at one address; a session that turns out to be of no use is not left behind."""
    session = OneShotSession(profile, address)
    done = False
    try:
        session.login_with_password(profile.username, password, _API_VERSION, originator)
        session_uuid = session.xenapi_request("session.get_uuid", (session.handle,))
        pools = session.xenapi_request("pool.get_all", ())
        if not pools:
            raise LostReplyError("it names no pool")
        pool_uuid = session.xenapi_request("pool.get_uuid", (pools[0],))
        done = True
    finally:
        if not done:
            if session.handle:
                log_out(session, session.handle)
            session.close()
    return Login(session, address, str(session_uuid), str(pool_uuid), str(pools[0]))


def _judge(profile: PoolProfile, address: str, details: list[str]) -> str:
    """Return in words what an address answered; raises LoginError when asking elsewhere is pointless."""
    if details[0] == "SESSION_AUTHENTICATION_FAILED":
        said = f"{address}: {details[0]}"
        raise LoginError(
            f"pool {profile.name} refused user {profile.username}: wrong name or password ({said})",
            tried=[said],
            advice="check the user and the password of the pool's profile",
        )
    if details[0] == "HOST_IS_SLAVE":
        return f"{address}: a member, its coordinator is {details[1] if len(details) > 1 else 'not named'}"
    return f"{address}: {details[0]}"
