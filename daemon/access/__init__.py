"""Who may call the coordinator, and what they may do."""
