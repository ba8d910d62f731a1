"""Hosts that are let in: invitations, what they prove, and the credentials they get."""
