"""What the layers around the application leave in the scope of a request or websocket for those behind them."""

from __future__ import annotations

REQUEST_ID_KEY = "uoro.request_id"
"""The id of the request, for problem documents and the log."""

PRINCIPAL_KEY = "uoro.principal"
"""Whose key it came with; absent where no keys are configured."""

ROUTE_KEY = "uoro.route"
"""The template of a call that was refused at the door, for the measure."""

CLONE_TO_KEY = "uoro.clone_to"
"""The second stream of a clone, for the audit log."""
