"""What a pool does on a call, a small module a class; importing this package registers all of them."""

from __future__ import annotations

from lmflow.simulator.operations import host, pbd, steering, vm_blocking, vm_migration, vm_power

__all__ = ["host", "pbd", "steering", "vm_blocking", "vm_migration", "vm_power"]
