"""Pictures of flows and of runs; changes nothing."""
