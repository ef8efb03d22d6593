CLAIMED: str
COMPLETE: str
UNCLAIMED: str
FAILURE: str
PENDING: str
REVERTING: str
REVERTED: str
RUNNING: str
SUCCESS: str
SUSPENDING: str
SUSPENDED: str
RESUMING: str
RETRYING: str
IGNORE: str
REVERT_FAILURE: str
EXECUTE: str
REVERT: str
RETRY: str
INTENTIONS: tuple[str, ...]
SCHEDULING: str
WAITING: str
ANALYZING: str

def check_flow_transition(old_state: str | None, new_state: str | None) -> bool: ...
