"""What the coordinator does for projects whose backups open with identities that are held elsewhere."""
