"""The real plugin, loaded from where it is delivered, with another root and a stand-in for XAPI's side."""

import importlib.machinery
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "etc/xapi.d/plugins/lmflow-guest-files"
STANDIN = pathlib.Path(__file__).resolve().parent / "standin"


@pytest.fixture
def script() -> pathlib.Path:
    return SCRIPT


@pytest.fixture
def standin() -> pathlib.Path:
    return STANDIN


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """The directory that stands for the one in dom0."""
    made = tmp_path / "dom0" / "guest"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def plugin(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The plugin as a module; its root is the directory, and the disk may be as full as it is."""
    monkeypatch.syspath_prepend(str(STANDIN))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("guest_files_plugin", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    module.ROOT = str(root)  # type: ignore[attr-defined]
    module.RESERVE_BYTES = 0  # type: ignore[attr-defined]
    yield module
    sys.modules.pop("XenAPIPlugin", None)


@pytest.fixture
def refuse(plugin: ModuleType) -> Callable[..., str]:
    """Call a function that has to refuse and return its words."""

    def call(function: str, **args: str) -> str:
        with pytest.raises(plugin.GuestFileError) as caught:
            plugin.FUNCTIONS[function](None, args)
        return str(caught.value)

    return call
