"""File descriptors: each connection takes one, and a server that has none left cannot even say so."""

from __future__ import annotations

import sys

RESERVED = 256
"""For everything that is no connection: the store, files, event loops, pipes, connections turned away."""


def make_room(max_connections: int) -> int:
    """Raise this process's own bound on open files as far as needed and allowed.

    Returns how many connections there is room for: `max_connections`, or fewer.
    """
    if sys.platform == "win32":
        return max_connections
    import resource  # noqa: PLC0415 - not everywhere

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max_connections + RESERVED
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return max_connections
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(1, raised - RESERVED)
