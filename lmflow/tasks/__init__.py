"""The steps of a migration: one task a file, each safe to run twice, each undoing only its own."""
