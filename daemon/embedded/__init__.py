"""Embedded mode: nats-server and SeaweedFS as supervised children of one process, for a machine that has neither."""
