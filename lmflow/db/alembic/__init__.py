"""alembic's script location: its environment and the revisions of lmflow's own tables."""
