"""What can keep a feed from going on, as one tree.

FeedError
├── FeedEndedError     it cannot go on without somebody's decision; the message says which
├── SourceAwayError    the other system is away; the same step again is right
└── MisfitError        an entry that is no observation of its stream
"""

from __future__ import annotations


class FeedError(Exception):
    """Root of the tree."""


class FeedEndedError(FeedError):
    """The feed cannot go on without somebody's decision; the message says which."""


class SourceAwayError(FeedError):
    """The other system is away; the same step again is right."""


class MisfitError(FeedError):
    """An entry that is no observation of its stream."""
