"""Revisions, one a file; a revision that was released is never edited."""
