"""Every goal of lmflow's performance, measured beside what others do for the same job: ``python -m bench``."""
