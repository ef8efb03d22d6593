"""host.call_plugin, with plugins that keep guests' kernels in the control domain's file system.

``kernel`` is on every host; ``lmflow-guest-files`` is where somebody has installed it.

Source: the plugin ``kernel`` that OpenStack Nova shipped for XenServer; how a plugin's end is told: XenAPIPlugin.py
and xapi_plugins.ml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import forwarding
from lmflow.simulator.hosts.boot_files import BootFiles
from lmflow.simulator.hosts.dom0_plugins import GUEST_FILES, Dom0Plugins
from lmflow.simulator.operations import guest_files
from lmflow.simulator.registry import operation

KERNEL_DIRECTORY = "/boot/guest"
Args = Mapping[str, str]
Function = Callable[[Store, dict[str, str], Args], str]


class _PluginError(Exception):
    """What a plugin's Python code raised; ``kind`` is its class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def _need(args: Args, name: str) -> str:
    if name not in args:
        raise _PluginError("ArgumentError", f"Argument {name!r} not present in command")
    return args[name]


def _copy_vdi(store: Store, files: dict[str, str], args: Args) -> str:
    """Write a disk's content into a file named after the disk; into the cache too, if a name for it is given."""
    vdi_ref, size = _need(args, "vdi-ref"), _need(args, "image-size")
    if not store.exists("VDI", vdi_ref):
        raise _PluginError("Failure", f"['HANDLE_INVALID', 'VDI', '{vdi_ref}']")
    uuid = str(store.value("VDI", vdi_ref, "uuid"))
    text = f"{size} bytes of {uuid}"
    path = f"{KERNEL_DIRECTORY}/{uuid}"
    files[path] = text
    if args.get("cached-image"):
        files[f"{KERNEL_DIRECTORY}/{args['cached-image']}"] = text
    return path


def _create_kernel_ramdisk(_: Store, files: dict[str, str], args: Args) -> str:
    """Copy a file from the cache; "" when it is not in the cache."""
    cached, uuid = _need(args, "cached-image"), _need(args, "new-image-uuid")
    text = files.get(f"{KERNEL_DIRECTORY}/{cached}")
    if text is None:
        return ""
    path = f"{KERNEL_DIRECTORY}/{uuid}"
    files[path] = text
    return path


def _remove_kernel_ramdisk(_: Store, files: dict[str, str], args: Args) -> str:
    """Remove files; one that is not there is no error."""
    for name in ("kernel-file", "ramdisk-file"):
        path = args.get(name, "")
        files.pop(path, None)
    return "ok"


_KERNEL: dict[str, Function] = {
    "copy_vdi": _copy_vdi,
    "create_kernel_ramdisk": _create_kernel_ramdisk,
    "remove_kernel_ramdisk": _remove_kernel_ramdisk,
}
_FUNCTIONS = {"kernel": frozenset(_KERNEL), GUEST_FILES: frozenset(guest_files.FUNCTIONS)}


@operation("host.call_plugin", effect=True)
def call_plugin(ctx: Context, host_ref: str, plugin: str, function: str, args: dict[str, str]) -> str:
    """Run a function of a plugin on a host.

    XENAPI_MISSING_PLUGIN [plugin]; XENAPI_PLUGIN_FAILURE [function, class of the exception, its text].
    """
    if not ctx.store.exists("host", host_ref):
        raise ApiFailure("HANDLE_INVALID", "host", host_ref)
    forwarding.reach(ctx, host_ref)
    if plugin != "kernel" and plugin not in ctx.pool.part(Dom0Plugins).on(host_ref):
        raise ApiFailure("XENAPI_MISSING_PLUGIN", plugin)
    if function not in _FUNCTIONS.get(plugin, ()):
        raise ApiFailure("XENAPI_PLUGIN_FAILURE", function, "UNKNOWN_XENAPI_PLUGIN_FUNCTION", "")
    try:
        with ctx.store.lock:
            if plugin == "kernel":
                return _KERNEL[function](ctx.store, ctx.pool.part(BootFiles).on(host_ref), args)
            return _call_guest_files(ctx, host_ref, function, args)
    except _PluginError as error:
        raise ApiFailure("XENAPI_PLUGIN_FAILURE", function, error.kind, str(error)) from None


def _call_guest_files(ctx: Context, host_ref: str, function: str, args: Args) -> str:
    """Run a function of the plugin for kernels; one that only reads has no effect."""
    disk = guest_files.Disk(ctx.pool.part(BootFiles).on(host_ref), ctx.pool.part(Dom0Plugins).links(host_ref))
    if function in guest_files.READING:
        ctx.entry.effect = False
    try:
        return guest_files.FUNCTIONS[function](disk, args)
    except guest_files.GuestFileError as error:
        raise _PluginError(type(error).__name__, str(error)) from None
