"""Qdrant: one snapshot per collection and node, and the aliases."""
