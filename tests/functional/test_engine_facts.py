"""What we rely on in TaskFlow. A new release that behaves otherwise must turn these red before a user sees it."""

import concurrent.futures
import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import taskflow.engines
from taskflow import task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models

from lmflow.exceptions import FlowSuspended, LeaseLost

DETAIL = "7f0a2f6e-2f5a-4f8e-9d0c-0a4b1d5f2a11"


class First(task.Task):
    """Ends well, and would show that it was reverted."""

    def __init__(self, trace: list[str]) -> None:
        super().__init__(name="first")
        self.trace = trace

    def execute(self) -> str:
        self.trace.append("first")
        return "kept"

    def revert(self, **kwargs: object) -> None:
        self.trace.append(f"{self.name} reverted")


class Second(First):
    """Raises once, then ends well."""

    def __init__(self, trace: list[str], error: BaseException | None) -> None:
        super().__init__(trace)
        self.name = "second"
        self.error = error

    def execute(self) -> str:
        self.trace.append("second")
        if self.error is not None:
            raise self.error
        return "done"


@pytest.fixture
def backend(tmp_path: pathlib.Path) -> Any:
    backend = backends.fetch({"connection": f"sqlite:///{tmp_path}/facts.db"})
    book, detail = models.LogBook("facts"), models.FlowDetail("facts", DETAIL)
    book.add(detail)
    with contextlib.closing(backend.get_connection()) as connection:
        connection.upgrade()
        connection.save_logbook(book)
    yield backend
    backend.close()


@pytest.fixture
def executor() -> Iterator[concurrent.futures.Executor]:
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as executor:
        yield executor


def _stored(backend: Any) -> Any:
    with contextlib.closing(backend.get_connection()) as connection:
        return connection.get_flow_details(DETAIL)


def _run(backend: Any, executor: Any, trace: list[str], error: BaseException | None, **options: Any) -> None:
    flow = linear_flow.Flow("facts").add(First(trace), Second(trace, error))
    detail = _stored(backend)
    taskflow.engines.load(
        flow, flow_detail=detail, backend=backend, engine="parallel", executor=executor, **options
    ).run()


def _states(backend: Any) -> tuple[str, dict[str, tuple[str, str]]]:
    detail = _stored(backend)
    return detail.state, {a.name: (a.state, a.intention) for a in detail}


@pytest.mark.parametrize("error", [FlowSuspended("unknown", "nobody answers"), LeaseLost("taken")], ids=repr)
def test_a_control_signal_leaves_the_flow_as_a_crash_does(backend: Any, executor: Any, error: BaseException) -> None:
    trace: list[str] = []
    with pytest.raises(type(error)):
        _run(backend, executor, trace, error)
    assert trace == ["first", "second"]
    assert _states(backend) == ("RUNNING", {"first": ("SUCCESS", "EXECUTE"), "second": ("RUNNING", "EXECUTE")})

    _run(backend, executor, trace, None)
    assert trace == ["first", "second", "second"]
    assert _states(backend)[0] == "SUCCESS"


def test_an_ordinary_error_reverts(backend: Any, executor: Any) -> None:
    trace: list[str] = []
    with pytest.raises(OSError, match="gone"):
        _run(backend, executor, trace, OSError("gone"))
    assert trace == ["first", "second", "second reverted", "first reverted"]
    assert _states(backend)[0] == "REVERTED"


def test_a_forward_only_flow_reverts_nothing(backend: Any, executor: Any) -> None:
    trace: list[str] = []
    with pytest.raises(OSError, match="gone"):
        _run(backend, executor, trace, OSError("gone"), never_resolve=True)
    assert trace == ["first", "second"]
    assert _states(backend)[1]["first"] == ("SUCCESS", "EXECUTE")


def test_a_reverted_flow_would_run_again_so_nobody_may_load_it(backend: Any, executor: Any) -> None:
    with pytest.raises(OSError, match="gone"):
        _run(backend, executor, [], OSError("gone"))
    trace: list[str] = []
    _run(backend, executor, trace, None)
    assert trace == ["first", "second"], "the runner must gate on the run's own state"
