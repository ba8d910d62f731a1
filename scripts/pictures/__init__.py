"""Pictures of the pages, for the README and for looking at what was changed."""
