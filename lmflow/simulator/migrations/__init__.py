"""How VMs move."""
