"""The coordinator's memory: streams, consumers and records on JetStream."""
