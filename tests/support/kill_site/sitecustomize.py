"""Loaded by an interpreter that has this directory in PYTHONPATH, before anything else: see commit_reports."""

import commit_reports

commit_reports.install()
