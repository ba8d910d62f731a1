"""The agent: runs on a service's host, streams encrypted dumps to object storage, and restores them."""
