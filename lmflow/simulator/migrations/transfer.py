"""A migration as the two xenopsd do it between them; it needs no toolstack and outlives any."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack

from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import power_cut, resync
from lmflow.simulator.hosts.toolstack import READY, Toolstack, host_of_role
from lmflow.simulator.hosts.xenops import Xenops, XenopsTask, temporary_uuid
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.migrations.phase_faults import PhaseFault, synchronisation_failure
from lmflow.simulator.rules import memory, placement

COPY_STEPS = 11
"""Progress in the copy goes by elevenths, in the clean-up by sevenths. Measured."""
SETUP_SECONDS = 0.1
SUSPEND_SECONDS = 0.1
FINISH_SECONDS = 0.15
TRIES = 3
"""How often a source begins anew after an interruption. Source: xapi_vm_migrate.ml."""
CONNECT_SECONDS = 127.0
"""Until a connection to a host without power is given up. Linux's default; assumed."""
_LOOK_SECONDS = 0.2
_LOOK_REAL_SECONDS = 0.25
_CANCEL_SECONDS = 0.25
_BROKEN_STREAM = ("INTERNAL_ERROR", 'xenopsd internal error: Unix.Unix_error(Unix.EPIPE, "write", "")')

Moment = tuple[float, int, Callable[[], None]]


class _TransferFailedError(Exception):
    def __init__(self, error: tuple[str, ...], end: str) -> None:
        super().__init__(*error)
        self.error = error
        self.end = end


class _TransferCancelledError(Exception):
    pass


class _InterruptedError(Exception):
    """What xapi answers by beginning anew: the guest's reboot, an end of file."""


class Transfer:
    """One VM on its way. ``done`` is set at the end, ``end`` then says where the VM is.

    ``end``: destination, source, halted, nowhere; ``error`` is empty when all went well; ``cancelled`` tells apart
    what somebody stopped. ``orphaned`` is set by whoever no longer follows it. ``began_to_copy`` is called at the
    moment from which the migration counts as having had an effect.
    """

    def __init__(
        self,
        pool: Kernel,
        vm_ref: str,
        source_ref: str,
        destination_ref: str,
        *,
        dbg: str,
        began_to_copy: Callable[[], None],
    ) -> None:
        self.pool = pool
        self.vm_ref = vm_ref
        self.vm_uuid = str(pool.store.value("VM", vm_ref, "uuid"))
        self.source_ref = source_ref
        self.destination_ref = destination_ref
        self.progress = 0.0
        self.steps: deque[float] = deque([0.0])
        self.cancellable = True
        self.copying = threading.Event()
        self.changed = threading.Event()
        self.done = threading.Event()
        self.end = "source"
        self.error: tuple[str, ...] = ()
        self.cancelled = False
        self.orphaned = False
        self._dbg = dbg
        self._began_to_copy = began_to_copy
        self._stop = threading.Event()
        self._xenops = pool.part(Xenops)
        self._toolstack = pool.part(Toolstack)
        self._faults: list[PhaseFault] = []
        self._befallen: list[PhaseFault] = []
        self._deaths: dict[str, int] = {}
        self._power_losses: dict[str, int] = {}
        self._interruptions = 0
        self._tasks: list[XenopsTask] = []
        self._domid = -1
        self._started = 0.0

    def start(self) -> None:
        """Begin; it runs in a thread of its own."""
        for ref in (self.source_ref, self.destination_ref):
            host = self._toolstack.on(ref)
            self._deaths[ref], self._power_losses[ref] = host.deaths, host.power_losses
        threading.Thread(target=self._run, name=f"transfer-{self.vm_uuid[:8]}", daemon=True).start()

    def cancel(self) -> None:
        """Ask for the end; ignored once the guest is being suspended."""
        self._stop.set()

    def toolstack_restarted(self, host_ref: str) -> bool:
        """Tell whether a host's toolstack ended since the transfer began."""
        return self._toolstack.on(host_ref).deaths != self._deaths[host_ref]

    # -- the run

    def _run(self) -> None:
        try:
            self._run_in_turn()
        except Exception as error:  # noqa: BLE001 - the border of the thread
            # Who follows the transfer would wait for ever.
            traceback.print_exc(file=sys.stderr)
            self._conclude("source", ("INTERNAL_ERROR", f"{type(error).__name__}: {error}"))

    def _run_in_turn(self) -> None:
        with ExitStack() as held:
            for lock in (self._xenops.queue_of(self.vm_uuid), self._xenops.on(self.source_ref).workers):
                if not self._acquire(lock):
                    self._conclude("source", cancelled=True)
                    return
                held.callback(lock.release)
            self._migrate()

    def _acquire(self, lock: threading.Lock | threading.Semaphore) -> bool:
        while not self._stop.is_set() and not self.pool.stopped.is_set():
            if lock.acquire(timeout=max(0.001, self.pool.clock.real(_LOOK_SECONDS))):
                return True
        return False

    def _migrate(self) -> None:
        try:
            self._check_domain()
            self._check_destination()
            self._take_faults()
            self._begin()
            self._try_until_there()
            self._conclude("destination")
        except _TransferCancelledError:
            self.pool.clock.wait(_CANCEL_SECONDS, self.pool.stopped)
            self._conclude("source", cancelled=True)
        except _TransferFailedError as failure:
            self._conclude(failure.end, failure.error)
        except ApiFailure as failure:
            # Somebody took the VM or a host out of the database meanwhile.
            self._conclude("source", tuple(failure.description))

    def _try_until_there(self) -> None:
        for left in reversed(range(TRIES)):
            try:
                self._attempt()
            except _InterruptedError as broken:
                self._check_domain()
                if not left:
                    raise _TransferFailedError(
                        ("INTERNAL_ERROR", f"xenopsd internal error: {broken}"), "source"
                    ) from None
                self._show(0.0)
            else:
                return

    def _attempt(self) -> None:
        self._play("setup", SETUP_SECONDS)
        self.copying.set()
        self._began_to_copy()
        if self._interruptions:
            self._interruptions -= 1
            raise _InterruptedError("End_of_file")
        self._copy()
        self._suspend()
        self._arrive()
        self._notice_lost_peer()
        self._play("finish", FINISH_SECONDS, [(0.2, 2 / 7), (0.4, 4 / 7), (0.7, 6 / 7)])
        self._check_arrival()

    def _check_destination(self) -> None:
        """Refuse a destination that does not take the connection; xenopsd reaches its peer through its toolstack."""
        if not self._toolstack.on(self.destination_ref).is_powered:
            self._wait_until(self.pool.clock.now() + CONNECT_SECONDS)
        if not self._toolstack.is_up(self.destination_ref):
            raise _TransferFailedError(("VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED",), "source")

    def _lost_power(self, host_ref: str) -> bool:
        return self._toolstack.on(host_ref).power_losses != self._power_losses[host_ref]

    def _is_dark(self, host_ref: str) -> bool:
        """Tell whether a host has no power and nobody has noticed."""
        return not self._toolstack.on(host_ref).is_powered and placement.is_live(self.pool.store, host_ref)

    def _notice_lost_peer(self) -> None:
        """Hang on a destination that lost its power, then fail; the guest was suspended for it and does not come back.

        The stream ends when the coordinator gives the host up, as every connection to it does, or when the host is
        back. Watched once, from the coordinator and with a simulated hypervisor: the domain was gone on both hosts. A
        real one might resume it.
        """
        if not self._lost_power(self.destination_ref):
            return
        if self._is_here():
            self._xenops.destroy(self.source_ref, self.vm_uuid)
        while self._is_dark(self.destination_ref) and not self.pool.stopped.is_set():
            self.pool.clock.wait(_LOOK_SECONDS)
        raise _TransferFailedError(_BROKEN_STREAM, "nowhere")

    def _check_domain(self) -> None:
        known = self._xenops.find(self.source_ref, self.vm_uuid)
        if known is None:
            text = f"Object with type VM and id {self.vm_uuid}/config does not exist in xenopsd"
            raise _TransferFailedError(("INTERNAL_ERROR", text), "nowhere")
        if known.power_state == "Halted":
            text = 'xenopsd internal error: Invalid_argument("option is None")'
            raise _TransferFailedError(("INTERNAL_ERROR", text), "nowhere")
        self._domid = known.domid

    def _is_here(self) -> bool:
        """Tell whether the source has the very domain that is being moved; the VM may have another one by now."""
        domain = self._xenops.find_running(self.source_ref, self.vm_uuid)
        return domain is not None and domain.domid == self._domid

    def _take_faults(self) -> None:
        with self._xenops.lock:
            waiting = self._xenops.phase_faults
            mine = [f for f in waiting if "." not in f.phase and f.vm_uuid in {"", self.vm_uuid}]
            self._xenops.phase_faults = [fault for fault in waiting if fault not in mine]
        self._faults = mine

    def _begin(self) -> None:
        self._started = self.pool.clock.now()
        with self._xenops.lock:
            self._tasks = [self._xenops.begin_task(self.source_ref, self._dbg)]
            if self.destination_ref != self.source_ref:
                self._tasks.append(self._xenops.begin_task(self.destination_ref, self._dbg, 1.0))
            temporaries = self._xenops.on(self.destination_ref).temporaries
            temporaries[temporary_uuid(self.vm_uuid)] = self.vm_uuid

    def _copy(self) -> None:
        memory_bytes = int(self.pool.store.value("VM", self.vm_ref, "memory_static_max"))
        seconds = self._xenops.copy_seconds_of(self.vm_uuid, memory_bytes)
        steps = [(step / (COPY_STEPS - 1), step / COPY_STEPS) for step in range(1, COPY_STEPS - 1)]
        self._play("copy", seconds, steps)

    def _suspend(self) -> None:
        if self._stop.is_set():
            raise _TransferCancelledError
        self.cancellable = False
        self._show(10 / COPY_STEPS)
        self._notice_lost_peer()
        self._play("suspend", SUSPEND_SECONDS)
        self._notice_lost_peer()
        self._show(1.0)

    def _arrive(self) -> None:
        lost = next((f for f in self._faults if f.phase == "finish" and f.kind == "fail" and f.end == "nowhere"), None)
        with self.pool.store.lock, self._xenops.lock:
            if not self._is_here() or self._lost_power(self.source_ref):
                text = f"xenopsd internal error: VM.migrate: domain of {self.vm_uuid} ended during the copy"
                raise _TransferFailedError(("INTERNAL_ERROR", text), "nowhere")
            if self._lost_power(self.destination_ref):
                return  # noticed next, without the lock
            # A toolstack that started during the copy has told its xenopsd of the VM again: a record stays.
            keep = self.toolstack_restarted(self.source_ref) and self._toolstack.is_ready(self.source_ref)
            if lost is None and not self._is_unexpected():
                keep = keep and self.source_ref != self.destination_ref
                self._xenops.move(self.source_ref, self.destination_ref, self.vm_uuid, keep_record=keep)
            else:
                self._xenops.destroy(self.source_ref, self.vm_uuid, keep_record=keep)

    def _is_unexpected(self) -> bool:
        """Tell whether the destination's toolstack, younger than the copy, destroys what arrives at once."""
        toolstack = self._toolstack
        if not self.toolstack_restarted(self.destination_ref) or toolstack.on(self.destination_ref).state != READY:
            return False
        expected = toolstack.arrivals_survive and not self.orphaned
        return not expected and self.pool.store.value("VM", self.vm_ref, "resident_on") != self.destination_ref

    def _check_arrival(self) -> None:
        self._notice_lost_peer()
        if self._xenops.find_running(self.destination_ref, self.vm_uuid) is None:
            raise _TransferFailedError(synchronisation_failure(self.vm_uuid), "nowhere")

    def _conclude(self, end: str, error: tuple[str, ...] = (), *, cancelled: bool = False) -> None:
        with self._xenops.lock:
            self._xenops.on(self.destination_ref).temporaries.pop(temporary_uuid(self.vm_uuid), None)
            if end == "halted":
                self._xenops.destroy(self.source_ref, self.vm_uuid)
            for task in self._tasks:
                self._xenops.end_task(task, list(error) or (["Cancelled", str(task.id)] if cancelled else None))
            if self._tasks and not self.orphaned:
                # The toolstack that followed the source's task takes it off the list; the destination's stays.
                self._xenops.forget_task(self.source_ref, self._tasks[0])
        self.end, self.error, self.cancelled = end, error, cancelled
        self.cancellable = False
        self.done.set()
        self.changed.set()

    # -- time

    def _show(self, progress: float) -> None:
        self.progress = progress
        self.steps.append(progress)
        if self._tasks:
            self._tasks[0].progress = progress
        self.changed.set()

    def _play(self, phase: str, seconds: float, steps: list[tuple[float, float]] | None = None) -> None:
        """Let a phase pass: steps are (fraction of the phase, progress); its faults happen at their fractions."""
        moments: list[Moment] = [
            (fraction, 0, lambda progress=progress: self._show(progress))  # type: ignore[misc]
            for fraction, progress in steps or ()
        ]
        for fault in self._faults:
            if fault.phase == phase and fault not in self._befallen:
                moments.append((fault.at, 1, lambda fault=fault: self._befall(fault)))  # type: ignore[misc]
        began = self.pool.clock.now()
        for fraction, _, act in sorted(moments, key=lambda moment: moment[:2]):
            self._wait_until(began + fraction * seconds)
            act()
        self._wait_until(began + seconds)

    def _wait_until(self, moment: float) -> None:
        """Wait until a pool time; a cancel is heard if it may be, and the end of the pool always."""
        clock, stopped = self.pool.clock, self.pool.stopped
        event = self._stop if self.cancellable else stopped
        while not event.is_set() and not stopped.is_set():
            left = clock.real(moment - clock.now())
            if left <= 0:
                return
            event.wait(min(left, _LOOK_REAL_SECONDS))
        raise _TransferCancelledError

    def _hold(self) -> None:
        """Stand still until a test lets go; a cancel is heard meanwhile."""
        while not self._xenops.released.wait(0.01):
            if self.pool.stopped.is_set() or (self.cancellable and self._stop.is_set()):
                raise _TransferCancelledError

    def _befall(self, fault: PhaseFault) -> None:
        self._befallen.append(fault)
        if fault.kind == "fail":
            self._fail(fault)
        if fault.kind == "interrupt":
            self._interruptions = fault.times - 1
            raise _InterruptedError("End_of_file")
        host_ref = host_of_role(self.pool, fault.host, self.source_ref, self.destination_ref)
        if fault.kind == "guest":
            self._let_guest_act(fault.how)
        elif fault.kind == "hold":
            self._hold()
        elif not self._toolstack.on(host_ref).is_powered:
            pass  # an earlier fault left nothing there that could end
        elif fault.kind == "restart":
            self._toolstack.restart(host_ref, fault.how)
        elif fault.kind == "stop":
            self._toolstack.stop(host_ref, fault.how)
        else:
            power_cut.cut(self.pool, host_ref)

    def _fail(self, fault: PhaseFault) -> None:
        if fault.phase == "copy":
            self.cancellable = False
            self._show(10 / COPY_STEPS)
        if fault.seconds:
            self._wait_until(self.pool.clock.now() + fault.seconds)
        store = self.pool.store
        known = {
            "needed": str(memory.needed_by(store, self.vm_ref)),
            "free": str(memory.free_on(store, self.destination_ref)),
            "kernel": str(store.value("VM", self.vm_ref, "PV_kernel")),
        }
        raise _TransferFailedError(fault.error_for(self.vm_ref, self.vm_uuid, known), fault.end)

    def _let_guest_act(self, how: str) -> None:
        """Let the guest reboot, crash or shut down by itself; the source's toolstack writes that down, if it works.

        A crashed guest is started anew, as is the default. A reboot breaks two attempts. A guest that is gone, with
        its host's power for example, does nothing. Source: xapi_vm_migrate.ml.
        """
        with self.pool.store.lock, self._xenops.lock:
            if not self._is_here():
                return
            self._xenops.destroy(self.source_ref, self.vm_uuid)
            if how != "shutdown":
                self._xenops.boot(self.source_ref, self.vm_uuid)
            if self._toolstack.is_ready(self.source_ref):
                resync.write_guest(self.pool.store, self.vm_ref, self._xenops.find(self.source_ref, self.vm_uuid))
        self._interruptions = 1
        raise _InterruptedError("Cancelled")
