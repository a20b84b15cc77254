"""Drafts of a critique, and their check against the measured facts."""
