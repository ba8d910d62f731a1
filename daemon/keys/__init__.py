"""Custody of the projects' identities, and passing on single file keys."""
