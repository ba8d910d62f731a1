"""The bytes of backups on their way: out of the store, opened where that may be, to files and to answers."""
