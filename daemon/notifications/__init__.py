"""Telling people and dead man's switches: channels, alerts, messages, pings."""
