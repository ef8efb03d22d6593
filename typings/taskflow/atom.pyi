from collections.abc import Iterable, Mapping, Sequence
from typing import Any

class Atom:
    priority: int
    name: str
    version: tuple[int, int]
    inject: Mapping[str, Any] | None
    default_provides: str | Sequence[str] | set[str] | None
    save_as: Mapping[str, Any]
    provides: Any  # taskflow.types.sets.OrderedSet
    requires: Any
    optional: Any
    rebind: Mapping[str, str]
    revert_rebind: Mapping[str, str]
    revert_requires: Any
    revert_optional: Any
    def __init__(
        self,
        name: str | None = ...,
        provides: str | Sequence[str] | set[str] | None = ...,
        requires: Iterable[str] | str | None = ...,
        auto_extract: bool = ...,
        rebind: Mapping[str, str] | Sequence[str] | None = ...,
        inject: Mapping[str, Any] | None = ...,
        ignore_list: Iterable[str] | None = ...,
        revert_rebind: Mapping[str, str] | Sequence[str] | None = ...,
        revert_requires: Iterable[str] | str | None = ...,
    ) -> None: ...
    def pre_execute(self) -> None: ...
    def execute(self, *args: Any, **kwargs: Any) -> Any: ...
    def post_execute(self) -> None: ...
    def pre_revert(self) -> None: ...
    def revert(self, *args: Any, **kwargs: Any) -> Any: ...
    def post_revert(self) -> None: ...
