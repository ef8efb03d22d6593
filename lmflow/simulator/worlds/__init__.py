"""Ready-made worlds, as JSON files."""
