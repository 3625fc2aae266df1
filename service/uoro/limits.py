"""Every limit of the service, named with its unit, in one place (law 5).

Each is tested at its value and one past it.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_STREAM_ID_CHARS = 200
MAX_FIELDS = 64
MAX_FIELD_NAME_CHARS = 100
MAX_CATEGORY_BYTES = 128
MAX_CATEGORY_SIZE = 1024
MAX_LABELS = 32
MAX_LABEL_KEY_CHARS = 64
MAX_LABEL_VALUE_CHARS = 200
MAX_ABS_NUMBER = 1e30
MAX_ABS_EPOCH_S = 1e11
MAX_SEQ = 2**53
MAX_HIDDEN_UNITS = 256
MAX_RANK = 64
MAX_TRUNCATION_STEPS = 512
MAX_STREAM_STATE_BYTES = 64 * 2**20
MAX_HORIZON_STEPS = 500
MAX_ERRORS_IN_REPLY = 100
MAX_LIST_PAGE = 1000
MAX_GLANCES = 100
TREND_STEPS = 32
MAX_RECENT_RESULTS = 64
MAX_QUERY_CHARS = 1_000
MAX_SELECTORS = 20
MAX_RANGE_POINTS = 11_000
MIN_RANGE_STEP_S = 0.001
MAX_NAMED_SNAPSHOTS = 32
MAX_SNAPSHOT_NAME_CHARS = 100
TOP_CATEGORIES = 10
MAX_KEYS = 1_000
MAX_KEY_FILE_BYTES = 2**20
MAX_KEY_NAME_CHARS = 100
MAX_PER_SECOND = 10**12
MAX_TICKETS = 10_000
MAX_TICKETS_PER_KEY = 100
TICKET_LIFE_S = 30.0
MAX_CONNECTIONS = 4_096
HEAD_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 5
STALL_TIMEOUT_S = 20.0
MIN_DRAINED_BYTES = 2**16
MAX_HEAD_BYTES = 2**15
MAX_HEADERS = 100
MAX_PIPELINED = 128
MAX_FRAGMENTS = 1_024
MAX_TURNED_AWAY = 64
TURN_AWAY_S = 1.0
PING_INTERVAL_S = 20.0
MAX_SERIES_LABELS = 64
MAX_SERIES_CHARS = 8192
MAX_KNOWN_SERIES = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits a deployment may move; settings fill them, the composition root hands them down."""

    max_body_bytes: int = 16 * 2**20
    max_intake_bytes: int = 256 * 2**20
    max_observations_per_request: int = 50_000
    max_queue_observations: int = 100_000
    max_batch_observations: int = 512
    batch_delay_s: float = 0.0
    max_unapplied_batches: int = 64
    max_unapplied_observations: int = 8_192
    max_streams: int = 100_000
    memory_budget_bytes: int = 2 * 2**30
    snapshot_interval_s: float = 60.0
    max_log_records: int = 20_000
    max_log_bytes: int = 256 * 2**20
    max_subscriber_messages: int = 1_024
    max_subscribers: int = 1_000
    max_connections: int = MAX_CONNECTIONS
    store_timeout_s: float = 5.0
    lease_ttl_s: float = 5.0
    drain_timeout_s: float = 20.0
