"""The contracts as documents for those who write other programs."""
