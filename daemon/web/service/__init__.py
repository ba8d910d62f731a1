"""One service's pages: its backups, how they are restored, when they are made and what is kept of them."""
