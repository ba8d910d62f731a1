"""NATS JetStream: the streams of an account, by the server's snapshot API."""
