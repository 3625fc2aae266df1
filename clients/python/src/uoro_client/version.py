"""The version of the client, which is its own."""

__version__ = "0.2.0"
