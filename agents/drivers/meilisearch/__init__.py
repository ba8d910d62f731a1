"""Meilisearch: one dump of an instance, made by itself and restored when one is launched."""
