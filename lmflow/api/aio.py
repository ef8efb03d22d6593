"""The same for asyncio: the driver's few threads drive the runs, and coroutines wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from lmflow import visualize
from lmflow.api.asking import Wanted, make_wanted
from lmflow.api.client import Client
from lmflow.api.driving import Notify
from lmflow.api.records import WantedRuns
from lmflow.api.ways import Ways
from lmflow.db.database import Selection
from lmflow.models import (
    Cancellation,
    CheckReport,
    Description,
    Event,
    Notice,
    Outcome,
    PoolObject,
    PoolProfile,
    Pruned,
    ResumePlan,
    Run,
    RunState,
    Site,
    StatusReport,
    Waits,
    WhyReport,
)
from lmflow.runner.driver import THREADS
from lmflow.tasks.context import ignore_notice
from lmflow.tasks.steering import Steering

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_LOOKING_THREADS = 8


class _Begun(Client):
    """``Client`` whose runs are begun on the driver's threads, and waited for by their futures."""

    def begin_migrating(self, wanted: Wanted, pool: str, hand: Steering) -> Future[Outcome]:
        return self._go_aside(self._migrating(wanted, pool, hand), pool)

    def begin_resuming(self, run: Run, hand: Steering) -> Future[Outcome]:
        return self._go_aside(self._resuming(run, hand), run.request.pool_profile)

    def begin_all(self, hand: Steering) -> list[Future[Outcome | None]]:
        return [future for _, future in self._resume_open(hand)]

    def begin_resolving(self, run: Run, runs_on: str, reason: str, hand: Steering) -> Future[Outcome]:
        return self._go_aside(self._resolving(run, runs_on, reason, hand), run.request.pool_profile)

    def begin_repairing(self, run: Run, hand: Steering) -> Future[Outcome]:
        return self._go_aside(self._repairing(run, hand), run.request.pool_profile)

    def begin_cancelling(self, run: Run, reason: str, seconds: float | None, hand: Steering) -> Future[Cancellation]:
        return self._go_aside(self._cancelling(run, reason, seconds, hand), run.request.pool_profile)


class AsyncClient:
    """``Client`` for asyncio: an async context manager whose methods are those of ``Client``, as coroutines.

    ``at_once`` runs are driven at a time; more wait for their turn. They share ``threads``: a run that waits for its
    pool needs none. Looking has threads of its own.
    ``notify`` is called in the event loop. No signal handler is installed: a service keeps its own.

    Cancelling a coroutine that drives a run lets go of that run, which stays resumable; CancelledError comes when it
    has been let go of. Leaving the context does so with all that still go on.
    """

    def __init__(
        self,
        *,
        database_url: str,
        profiles: Mapping[str, PoolProfile],
        password: Callable[[str], str],
        waits: Waits | None = None,
        site: Site | None = None,
        notify: Notify | None = None,
        at_once: int = 64,
        threads: int = THREADS,
    ) -> None:
        self._waits = waits or Waits()
        self._notify = notify
        self._open = lambda tell: _Begun(
            database_url=database_url,
            profiles=profiles,
            password=password,
            waits=self._waits,
            site=site,
            notify=tell,
            threads=threads,
        )
        self._client: _Begun | None = None
        self._turn = asyncio.Semaphore(at_once)
        self._closing = False
        self._looking = ThreadPoolExecutor(max_workers=_LOOKING_THREADS, thread_name_prefix="lmflow-look")
        self._driven: dict[Future[Any], Steering] = {}

    async def __aenter__(self) -> Self:
        self._client = await asyncio.wrap_future(self._looking.submit(self._open, self._make_teller()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of all runs that are driven here, wait until that is done, and let go of the database."""
        self._closing = True
        driven = list(self._driven.items())
        for _, steering in driven:
            steering.detach()
        for job, _ in driven:
            await _outlast(asyncio.wrap_future(job))
        await asyncio.to_thread(self._close)

    async def migrate(
        self,
        vm: str,
        destination: str = "",
        *,
        pool: str = "",
        request_id: str = "",
        reason: str = "",
        requested_by: str = "",
        steering: Steering | None = None,
        **ways: Unpack[Ways],
    ) -> Outcome:
        """Migrate the VM and return how it ended; all as in ``Client.migrate``."""
        client = self._entered
        wanted = make_wanted(
            vm, destination, ways=ways, request_id=request_id, reason=reason, requested_by=requested_by
        )
        async with self._turn:
            return await self._drive(steering, lambda hand: client.begin_migrating(wanted, pool, hand))

    async def resume(self, run: str = "", *, steering: Steering | None = None) -> tuple[Outcome, ...]:
        """Bring the run to its end, or every open run whose owner is gone."""
        client = self._entered
        if run:
            found = await self.run(run)
            async with self._turn:
                return (await self._drive(steering, lambda hand: client.begin_resuming(found, hand)),)
        hand = steering or Steering()
        going = await self._look(lambda client: client.begin_all(hand))
        ended = await asyncio.gather(*(self._await(future, hand) for future in going))
        return tuple(outcome for outcome in ended if outcome is not None)

    async def plan_resume(self, selector: str = "") -> tuple[ResumePlan, ...]:
        """Say what a resume of that run, or of every run that it would take up, would do; changes nothing."""
        return await self._look(lambda client: client.plan_resume(selector))

    async def resolve(self, run: str, *, runs_on: str, reason: str, steering: Steering | None = None) -> Outcome:
        """Record a person's decision on where the VM of an unknown run is, and end the run by it."""
        client, found = self._entered, await self.run(run)
        return await self._drive(steering, lambda hand: client.begin_resolving(found, runs_on, reason, hand))

    async def repair(self, run: str, *, steering: Steering | None = None) -> Outcome:
        """Finish what the reverts of a dirty run could not."""
        client, found = self._entered, await self.run(run)
        return await self._drive(steering, lambda hand: client.begin_repairing(found, hand))

    async def cancel(
        self,
        run: str,
        *,
        reason: str = "",
        timeout_seconds: float | None = None,
        steering: Steering | None = None,
    ) -> Cancellation:
        """Ask for the run to be cancelled and return what came of it.

        Whoever cancels this coroutine stops waiting: the request stands, a run that was taken up for it is let go of.
        """
        client, found = self._entered, await self.run(run)  # not behind the runs that are to be cancelled
        return await self._drive(steering, lambda hand: client.begin_cancelling(found, reason, timeout_seconds, hand))

    async def check(
        self,
        vms: Sequence[str],
        destination: str = "",
        *,
        pool: str = "",
        ask_pool: bool = False,
        network: str = "",
        strict: bool = False,
        force: bool = False,
        eject_local_iso: bool = False,
    ) -> CheckReport:
        """Ask every rule for these VMs and the destination, or all hosts; changes nothing."""
        return await self._look(
            lambda client: client.check(
                vms,
                destination,
                pool=pool,
                ask_pool=ask_pool,
                network=network,
                strict=strict,
                force=force,
                eject_local_iso=eject_local_iso,
            )
        )

    async def status(self) -> StatusReport:
        """Say of each open run how it stands; reads the pools now."""
        return await self._look(lambda client: client.status())

    async def why(self, run: str) -> WhyReport:
        """Explain a run; changes nothing."""
        return await self._look(lambda client: client.why(run))

    async def picture(self, run: str) -> visualize.Picture:
        """Return the picture of a run."""
        return await self._look(lambda client: client.picture(run))

    async def runs(
        self, *, active_only: bool = False, limit: int | None = 100, **wanted: Unpack[WantedRuns]
    ) -> tuple[Run, ...]:
        """Return the latest runs, newest first; all as in ``Client.runs``."""
        return await self._look(lambda client: client.runs(active_only=active_only, limit=limit, **wanted))

    async def find_runs(
        self, *, active_only: bool = False, limit: int | None = 100, **wanted: Unpack[WantedRuns]
    ) -> Selection:
        """Return the latest runs, and of those that cannot be read what is wrong with them (``damaged``)."""
        return await self._look(lambda client: client.find_runs(active_only=active_only, limit=limit, **wanted))

    async def prune(
        self,
        *,
        older_than_seconds: float,
        states: Collection[RunState] = (),
        keep: int = 0,
        forget_ids: bool = False,
        delete: bool = False,
    ) -> Pruned:
        """Delete what is known of old requests that ended, or only say what that would be; as ``Client.prune``."""
        return await self._look(
            lambda client: client.prune(
                older_than_seconds=older_than_seconds, states=states, keep=keep, forget_ids=forget_ids, delete=delete
            )
        )

    async def run(self, text: str) -> Run:
        """Return the run of that UUID, unique beginning of one, or request id; UsageError with candidates."""
        return await self._look(lambda client: client.run(text))

    async def find_request(self, request_id: str) -> Run | None:
        """Return the latest try of the request of exactly this id; None when it was never made."""
        return await self._look(lambda client: client.find_request(request_id))

    async def objects(self, run: str) -> tuple[PoolObject, ...]:
        """Return everything that the run created or changed in its pool, with its fate; asks no pool."""
        return await self._look(lambda client: client.objects(run))

    async def condition(self, run: Run) -> str:
        """Return the run's state, or ``interrupted`` when it is running and its owner is gone."""
        return await self._look(lambda client: client.condition(run))

    async def outcome(self, run: str) -> Outcome:
        """Return the outcome of a run from its records."""
        return await self._look(lambda client: client.outcome(run))

    async def describe(self, run: str) -> Description:
        """Return everything that is recorded of a run; asks no pool."""
        return await self._look(lambda client: client.describe(run))

    async def events(self, run: str, *, after: int = 0) -> tuple[Event, ...]:
        """Return what happened to the run behind that sequence number, oldest first."""
        return await self._look(lambda client: client.events(run, after=after))

    async def follow(self, run: str, *, after: int = 0) -> AsyncIterator[Event]:
        """Yield the run's events, also those to come, until it has ended or nobody drives it any more."""
        run_uuid, over = (await self.run(run)).uuid, False
        while not over:
            over = await self.condition(await self.run(run_uuid)) != "running"
            for event in await self.events(run_uuid, after=after):
                after = event.sequence
                yield event
            if not over:
                await asyncio.sleep(self._waits.poll_seconds)

    async def wait(self, run: str, *, timeout_seconds: float | None = None) -> Outcome:
        """Wait until the run has ended or nobody drives it any more; only reads. As ``Client.wait``."""
        until = None if timeout_seconds is None else asyncio.get_running_loop().time() + timeout_seconds
        while True:
            outcome = await self._look(lambda client: client.wait(run, timeout_seconds=0))
            left = self._waits.poll_seconds if until is None else until - asyncio.get_running_loop().time()
            if outcome.reason != "timeout" or left <= 0:
                return outcome
            await asyncio.sleep(min(left, self._waits.poll_seconds))

    @property
    def _entered(self) -> _Begun:
        if self._client is None:
            raise RuntimeError("AsyncClient is an async context manager: use it in `async with`")
        return self._client

    async def _look(self, ask: Callable[[_Begun], T]) -> T:
        return await asyncio.wrap_future(self._looking.submit(ask, self._entered))

    async def _drive(self, steering: Steering | None, begin: Callable[[Steering], Future[T]]) -> T:
        """Have something driven; when this is cancelled, let go of it and wait until that is done."""
        if self._closing:
            raise asyncio.CancelledError
        hand = steering or Steering()
        return await self._await(begin(hand), hand)

    async def _await(self, job: Future[T], hand: Steering) -> T:
        self._driven[job] = hand
        future = asyncio.wrap_future(job)
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError:
            hand.detach()
            await _outlast(future)
            raise
        finally:
            del self._driven[job]
        return future.result()

    def _make_teller(self) -> Notify:
        if self._notify is None:
            return ignore_notice
        loop, notify = asyncio.get_running_loop(), self._notify

        def tell(notice: Notice) -> None:
            loop.call_soon_threadsafe(notify, notice)

        return tell

    def _close(self) -> None:
        self._looking.shutdown()
        if self._client is not None:
            self._client.close()


async def _outlast(future: asyncio.Future[T]) -> None:
    """Wait for its end, also when asked again and again to stop waiting; the pool's calls have time-outs."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((future,))
    if future.exception() is not None:
        LOG.info("a run that was let go of ended with %r", future.exception())
