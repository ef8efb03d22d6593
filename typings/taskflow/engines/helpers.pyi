from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskflow.engines.action_engine.engine import ActionEngine
from taskflow.flow import Flow
from taskflow.persistence.base import Backend
from taskflow.persistence.models import FlowDetail, LogBook

def load(
    flow: Flow,
    store: Mapping[str, Any] | None = ...,
    flow_detail: FlowDetail | None = ...,
    book: LogBook | None = ...,
    backend: Backend | Mapping[str, Any] | None = ...,
    namespace: str = ...,
    engine: str = ...,
    **kwargs: Any,
) -> ActionEngine: ...
def run(
    flow: Flow,
    store: Mapping[str, Any] | None = ...,
    flow_detail: FlowDetail | None = ...,
    book: LogBook | None = ...,
    backend: Backend | Mapping[str, Any] | None = ...,
    namespace: str = ...,
    engine: str = ...,
    **kwargs: Any,
) -> dict[str, Any]: ...
def save_factory_details(
    flow_detail: FlowDetail,
    flow_factory: Callable[..., Flow] | str,
    factory_args: Sequence[Any] | None,
    factory_kwargs: Mapping[str, Any] | None,
    backend: Backend | Mapping[str, Any] | None = ...,
) -> None: ...
def load_from_factory(
    flow_factory: Callable[..., Flow] | str,
    factory_args: Sequence[Any] | None = ...,
    factory_kwargs: Mapping[str, Any] | None = ...,
    store: Mapping[str, Any] | None = ...,
    book: LogBook | None = ...,
    backend: Backend | Mapping[str, Any] | None = ...,
    namespace: str = ...,
    engine: str = ...,
    **kwargs: Any,
) -> ActionEngine: ...
def flow_from_detail(flow_detail: FlowDetail) -> Flow: ...
def load_from_detail(
    flow_detail: FlowDetail,
    store: Mapping[str, Any] | None = ...,
    backend: Backend | Mapping[str, Any] | None = ...,
    namespace: str = ...,
    engine: str = ...,
    **kwargs: Any,
) -> ActionEngine: ...
