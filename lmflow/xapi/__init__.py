"""The XAPI side: the only user of the official SDK. References of XAPI objects never leave this room."""
