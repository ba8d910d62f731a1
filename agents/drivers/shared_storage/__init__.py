"""Directory trees, by GNU tar."""
