"""Who calls: the key that a request came with, resolved at the edge and carried in its scope."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from uoro.access.key import Key, Scope
from uoro.api.problems import Forbidden
from uoro.api.quota import Quota
from uoro.api.scope import PRINCIPAL_KEY


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """One key in force, and how far its limits are used; the same object as long as the key does not change."""

    key: Key
    quota: Quota

    @property
    def is_bounded(self) -> bool:
        """Whether there is anything that it may not do, or not at any rate."""
        return bool(self.key.prefix) or self.quota.is_bounded or not self.key.grants(Scope.ADMIN)

    def demand(self, scope: Scope) -> None:
        """Raise Forbidden unless the key grants a scope."""
        if not self.key.grants(scope):
            raise Forbidden(f"this call needs a key with the scope {scope.value!r}")


def principal_of(connection: HTTPConnection) -> Principal | None:
    """The caller of a request or websocket; None where no keys are configured."""
    principal: Principal | None = connection.scope.get(PRINCIPAL_KEY)
    return principal
