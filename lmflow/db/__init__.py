"""Runs, events, attempts and leases in a database, and TaskFlow's own records behind the same fence."""
