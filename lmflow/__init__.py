"""Live migration of virtual machines in XAPI pools, as durable TaskFlow flows."""
