"""What can go wrong, in families: refused, failed, unknown, unreachable, locked, misused.

Each error is a sentence over its own typed attributes. ``retryable`` says whether the same request may simply
be made again. This module imports nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmflow.models import Finding


class LmflowError(Exception):
    """Base of all errors that lmflow raises on purpose.

    ``advice`` is one command or action to try; ``state_now`` says what is known of the VM at this moment, in
    a sentence, or is empty when the error concerns no VM.
    """

    code = "ERROR"
    retryable = False

    def __init__(self, message: str, *, advice: str = "", state_now: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.state_now = state_now


class UsageError(LmflowError):
    """The request itself is wrong: an unknown or ambiguous name, a bad option."""

    code = "USAGE"

    def __init__(self, message: str, *, candidates: Sequence[str] = (), advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.candidates = tuple(candidates)


class ConfigurationError(UsageError):
    """The configuration, or the database it names, cannot be used as it is."""

    code = "CONFIGURATION"


class DamagedError(ConfigurationError):
    """What the database holds of a run cannot be read: somebody else wrote it, or it was broken. Others are not."""

    code = "DAMAGED"

    def __init__(self, run_uuid: str, problem: str) -> None:
        super().__init__(
            f"the record of run {run_uuid} cannot be used: {problem}",
            advice="restore that run from a backup of the database, and look in the pool where its VM runs",
        )
        self.run_uuid = run_uuid


class PluginError(ConfigurationError):
    """A rule, strategy or hook that somebody added cannot be used, raised, took too long, or answered nonsense."""

    code = "PLUGIN"


class RefusedError(LmflowError):
    """A check said no before anything was changed; ``findings`` says why, one entry a reason."""

    code = "REFUSED"

    def __init__(
        self, message: str, *, findings: Sequence[Finding] = (), state_now: str = "", advice: str = ""
    ) -> None:
        super().__init__(message, advice=advice, state_now=state_now)
        self.findings = tuple(findings)


class UnknownUUIDError(UsageError, RefusedError):
    """A UUID names nothing in the pool: misspelt for a person, an answer for a program that has had it in its books."""


class MigrationFailedError(LmflowError):
    """The migration was tried and the VM is verified elsewhere than on the destination.

    ``elsewhere``: what it failed of might not be so with another destination.
    """

    code = "FAILED"

    def __init__(
        self,
        message: str,
        *,
        xapi_code: str = "",
        xapi_params: Sequence[str] = (),
        state_now: str = "",
        advice: str = "",
        elsewhere: bool = True,
    ) -> None:
        super().__init__(message, advice=advice, state_now=state_now)
        self.xapi_code = xapi_code
        self.xapi_params = tuple(xapi_params)
        self.elsewhere = elsewhere


class CancelledError(MigrationFailedError):
    """Somebody asked for the migration to be cancelled, and it was: what was ours is undone."""

    code = "CANCELLED"


class IndeterminateError(LmflowError):
    """Evidence cannot settle where the VM is; a person must decide and lmflow touches nothing."""

    code = "UNKNOWN"


class UnreachableError(LmflowError):
    """The pool or the database did not answer; ``tried`` lists the addresses with what each said."""

    code = "UNREACHABLE"
    retryable = True

    def __init__(self, message: str, *, tried: Sequence[str] = (), advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.tried = tuple(tried)


class LoginError(UnreachableError):
    """The pool answered and would not let us in: wrong password, no right, wrong certificate."""

    code = "LOGIN"
    retryable = False


class LockedError(LmflowError):
    """Another run holds the VM, or another process owns the run."""

    code = "LOCKED"
    retryable = True

    def __init__(self, message: str, *, run_uuid: str = "", advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.run_uuid = run_uuid


class XapiFailureError(LmflowError):
    """XAPI answered ``Status: Failure``; the code, its parameters and the call are kept as they came."""

    code = "XAPI"

    def __init__(self, xapi_code: str, xapi_params: Sequence[str], *, call: str) -> None:
        super().__init__(f"{call} failed with {xapi_code} {list(xapi_params)}")
        self.xapi_code = xapi_code
        self.xapi_params = tuple(xapi_params)
        self.call = call


class NoReplyError(LmflowError):
    """A request was, or may have been, sent and no reply was read: its effect is unknown, not absent."""

    code = "NO_REPLY"

    def __init__(self, call: str, cause: str) -> None:
        super().__init__(f"{call} got no reply ({cause}); whether it took effect is unknown")
        self.call = call
        self.cause = cause


class SessionNotArmedError(LmflowError):
    """A changing call was asked of a session that the lease does not name (see the fence)."""

    code = "SESSION_NOT_ARMED"


class LeaseLost(BaseException):
    """Our lease was taken; nothing more may be written or sent by this owner."""


class FlowSuspended(BaseException):
    """Leave the flow exactly as a crash would: the atom stays RUNNING and is executed again by a resume.

    ``reason`` is one of ``unknown``, ``unreachable``, ``detached``, ``deadline``, ``error``.
    Raised through the engine on purpose: a failure would revert, and a revert needs proof that it may.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Parked(BaseException):
    """Leave the flow exactly as a crash would and give the thread back: the atom is executed again when it is time.

    That is after ``seconds``, or as soon as something happened to the task or the VM that it names ('' for none).
    """

    def __init__(self, seconds: float, *, task_uuid: str = "", vm_uuid: str = "") -> None:
        super().__init__(f"waits {seconds:g} s")
        self.seconds = seconds
        self.task_uuid = task_uuid
        self.vm_uuid = vm_uuid
