"""The object store, as the coordinator alone may use it."""
