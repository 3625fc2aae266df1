"""Posts the rows of a file to their streams, so that a row is learned once however often it is tried.

Rules:
1. A stream that does not exist is created from the rows at hand; one that exists is continued.
2. Every row carries its `seq`, so that retries are safe.
3. When resuming, as many rows of a stream are passed over as it has observations. If rows have times, the
   last one passed over must have the time of the stream's last observation, or nothing is posted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from uoro.cli.fields import infer_spec
from uoro_client import Client, NotFound, Observation

MAX_REFUSALS_TOLD = 5
SAME_TIME_S = 0.001


class NotTheSameFileError(Exception):
    """Resuming would not go on where the stream ended."""


@dataclass(slots=True)
class Tally:
    """What became of one stream's rows.

    Attributes:
        before: observations that the stream had when the replay began.
        unskipped: rows still to be passed over.
        last_time: of the stream's last observation, while rows are to be passed over.
    """

    before: int = 0
    num_learned: int = 0
    num_refused: int = 0
    num_skipped: int = 0
    unskipped: int = 0
    last_time: float | None = None


class Feed:
    """The streams of one file.

    Args:
        stream: every row's stream; None lets rows name their own.
        default_stream: of rows that name none.
        targets: fields to predict in streams that are created; None predicts all.

    Attributes:
        tallies: by stream.
        refusals: the first few reasons for which rows were refused.
        loss: mean of the latest batch.
    """

    def __init__(
        self,
        client: Client,
        *,
        stream: str | None,
        default_stream: str,
        targets: frozenset[str] | None,
        is_resuming: bool,
    ) -> None:
        self.tallies: dict[str, Tally] = {}
        self.refusals: list[str] = []
        self.loss: float | None = None
        self._client = client
        self._writer = client.writer()
        self._stream = stream
        self._default_stream = default_stream
        self._targets = targets
        self._is_resuming = is_resuming

    @property
    def num_learned(self) -> int:
        """Of all streams."""
        return sum(tally.num_learned for tally in self.tallies.values())

    def post(self, rows: Sequence[Observation]) -> None:
        """Post the next rows. Raises ClientError, ValueError, NotTheSameFileError."""
        named = [
            msgspec.structs.replace(row, stream=self._stream or row.stream or self._default_stream) for row in rows
        ]
        for stream in dict.fromkeys(row.stream for row in named if row.stream is not None):
            if stream not in self.tallies:
                self.tallies[stream] = self._open(stream, [row for row in named if row.stream == stream])
        due = [row for row in named if not self._is_skipped(row)]
        if not due:
            return
        before = {stream: self._writer.next_seq(stream) or 1 for stream in self._streams(due)}
        try:
            self._post(due)
        finally:
            for stream, first in before.items():
                self.tallies[stream].num_learned += max(0, (self._writer.next_seq(stream) or first) - first)
        for stream, first in before.items():
            num_sent = sum(row.stream == stream for row in due)
            self.tallies[stream].num_refused += num_sent - ((self._writer.next_seq(stream) or first) - first)

    def _post(self, due: list[Observation]) -> None:
        streams = self._streams(due)
        if len(streams) == 1:
            reply = self._writer.observe_many(streams[0], [msgspec.structs.replace(row, stream=None) for row in due])
        else:
            reply = self._writer.observe_streams(due)
        for refusal in reply.errors:
            if len(self.refusals) < MAX_REFUSALS_TOLD:
                self.refusals.append(f"{due[refusal.index].stream}: {refusal.detail}")
        self.loss = reply.loss if reply.loss is not None else self.loss

    def _open(self, stream: str, rows: list[Observation]) -> Tally:
        """Find or create a stream, and where its numbering goes on."""
        try:
            before = self._client.stream(stream).last_seq
        except NotFound:
            before = self._client.create_stream(stream, infer_spec(rows, self._targets)).last_seq
        self._writer.start_at(stream, before + 1)
        tally = Tally(before=before)
        if self._is_resuming and before:
            tally.unskipped = before
            kept = self._client.results(stream, 1)
            tally.last_time = _epoch(kept[-1].t) if kept else None
        return tally

    def _is_skipped(self, row: Observation) -> bool:
        tally = self.tallies[row.stream or ""]
        if not tally.unskipped:
            return False
        tally.unskipped -= 1
        tally.num_skipped += 1
        time = _epoch(row.t)
        is_last = tally.unskipped == 0
        if is_last and time is not None and tally.last_time is not None and abs(time - tally.last_time) > SAME_TIME_S:
            raise NotTheSameFileError(
                f"row {tally.num_skipped} of stream {row.stream!r} is not the last observation that the stream has: "
                "it was fed from elsewhere too, or rows were refused; nothing was posted to it"
            )
        return True

    def _streams(self, rows: list[Observation]) -> list[str]:
        return list(dict.fromkeys(row.stream or "" for row in rows))


def _epoch(time: float | str | datetime | None) -> float | None:
    """A time as seconds since the epoch."""
    if isinstance(time, str):
        return datetime.fromisoformat(time).timestamp()
    return time.timestamp() if isinstance(time, datetime) else time
