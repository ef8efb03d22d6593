"""What XAPI allows and refuses, and the allowed_operations that follow."""
