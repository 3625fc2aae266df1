"""Connections as they come from the network, before they are requests: how many, how long, how large."""
