"""Readers of other systems' streams that post to a server: programs of their own, clients like any other."""
