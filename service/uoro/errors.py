"""Every error this project raises on purpose, as one tree.

UoroError
├── RequestError                 the caller can mend it; nothing was changed
│   ├── MalformedBody            400  not JSON, not NDJSON, not UTF-8
│   ├── UnknownStream            404
│   ├── UnknownSnapshot          404  the stream has no snapshot of that name
│   ├── StreamExists             409  same id, another spec
│   ├── OutOfSequence            409  a gap; carries `expected_seq`
│   ├── BodyTooLarge             413
│   ├── InvalidRequest           422  a query parameter, label or id does not fit
│   │   ├── InvalidSpec
│   │   ├── InvalidObservation   names the field
│   │   └── InvalidImport
│   └── Overloaded               429  a bounded queue is full; none was taken
├── Unavailable                  503  the service cannot do it now
│   ├── NotReady                 still recovering, draining, or stopped
│   ├── StoreUnavailable         the store is away; nothing was written
│   ├── OutcomeUnknown           the store went away mid-append; it may have been written
│   ├── StreamDamaged            this stream is set aside; the others serve
│   └── StaleEpoch               another owner has taken the shard; this one must stop
├── PositionConflict             an append at a position that is not the next one
├── CorruptRecord                bytes that fail their checksum, version or contiguity
└── InvalidSettings              the service must not start
    └── InvalidKeyFile           the file of keys cannot be read, or is none
"""

from __future__ import annotations

from typing import ClassVar


class UoroError(Exception):
    """Root of the tree. `code` is the stable machine-readable name in problem documents."""

    code: ClassVar[str] = "internal"


class RequestError(UoroError):
    """The request cannot be honoured as it is; nothing was changed."""

    code = "bad_request"


class MalformedBody(RequestError):
    """The body is not what its content type says."""

    code = "malformed_body"


class UnknownStream(RequestError):
    """No stream has this id."""

    code = "unknown_stream"

    def __init__(self, stream: str) -> None:
        super().__init__(f"no stream has the id {stream!r}")


class UnknownSnapshot(RequestError):
    """The stream has no named snapshot of this name."""

    code = "unknown_snapshot"

    def __init__(self, stream: str, name: str) -> None:
        super().__init__(f"stream {stream!r} has no snapshot named {name!r}")


class StreamExists(RequestError):
    """The id is taken by a stream with another spec."""

    code = "stream_exists"

    def __init__(self, stream: str) -> None:
        super().__init__(f"stream {stream!r} exists already, with another spec or model")


class OutOfSequence(RequestError):
    """A `seq` beyond the next one was given.

    Attributes:
        expected_seq: the only `seq` that would have been learned.
    """

    code = "out_of_sequence"

    def __init__(self, expected_seq: int, given_seq: int) -> None:
        super().__init__(f"seq {given_seq} leaves a gap; expected {expected_seq}")
        self.expected_seq = expected_seq


class BodyTooLarge(RequestError):
    """The body is over its limit in bytes."""

    code = "body_too_large"


class InvalidRequest(RequestError):
    """A value does not fit. `field` names it where there is one."""

    code = "invalid_request"

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.field = field


class InvalidSpec(InvalidRequest):
    """A stream spec that cannot be built."""

    code = "invalid_spec"


class InvalidObservation(InvalidRequest):
    """An observation that does not fit its stream's spec or the limits."""

    code = "invalid_observation"


class InvalidImport(InvalidRequest):
    """An import file that is damaged, or of another version."""

    code = "invalid_import"


class Overloaded(RequestError):
    """A bounded queue is full; nothing of the request was taken.

    Attributes:
        retry_after_s: when to try again, in seconds.
    """

    code = "overloaded"

    def __init__(self, detail: str, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(UoroError):
    """The service cannot do it now; trying again later is right."""

    code = "unavailable"
    retry_after_s: ClassVar[float] = 1.0


class NotReady(Unavailable):
    """Recovering, draining or stopped."""

    code = "not_ready"


class StoreUnavailable(Unavailable):
    """The store cannot be reached; nothing was written."""

    code = "store_unavailable"


class OutcomeUnknown(StoreUnavailable):
    """The store went away while an append was under way: it may or may not be on disk.

    The answer to the caller is the same 503 `store_unavailable`; a retry with `seq` is safe.
    """


class StreamDamaged(Unavailable):
    """A stream whose stored state or past cannot be read is set aside; the others serve."""

    code = "stream_damaged"

    def __init__(self, stream: str) -> None:
        super().__init__(f"stream {stream!r} is set aside: its stored state cannot be read; delete or import it")


class StaleEpoch(Unavailable):
    """Another owner holds a newer epoch of the shard; this one has nothing left to say."""

    code = "stale_epoch"


class PositionConflict(UoroError):
    """An append named a position that is not the next one.

    Attributes:
        expected: the next position of the log.
        given: the position of the refused append.
    """

    code = "position_conflict"

    def __init__(self, expected: int, given: int) -> None:
        super().__init__(f"the next log position is {expected}, not {given}")
        self.expected = expected
        self.given = given


class CorruptRecord(UoroError):
    """Stored bytes that fail their checksum, version, or place."""

    code = "corrupt_record"


class InvalidSettings(UoroError):
    """A setting that must stop the start, said in one sentence."""

    code = "invalid_settings"


class InvalidKeyFile(InvalidSettings):
    """A key file that cannot be read or is none: stops the start, and is told while the service runs."""

    code = "invalid_key_file"
