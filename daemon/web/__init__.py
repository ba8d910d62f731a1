"""The web UI: pages made on the server, for people."""
