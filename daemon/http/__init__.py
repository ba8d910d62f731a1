"""The coordinator over HTTP: the API for programs, what monitoring asks, and the way to the pages."""
