"""The coordinator: decides when and what is backed up, keeps the catalogue, and signs every access to the store."""
