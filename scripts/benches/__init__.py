"""Measurements that anybody can repeat: each runs our side and its peer on the same machine, in turns, in one go."""
