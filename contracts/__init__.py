"""What travels between coordinator and agents, what is stored, and the pure rules both sides share."""
