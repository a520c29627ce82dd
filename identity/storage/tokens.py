"""Sessions, refresh tokens, API tokens and revocations in a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from identity.model.tokens import ApiToken, RefreshToken, Session
from identity.storage import rows, tables

_session: Final = tables.session.c
_refresh: Final = tables.refresh_token.c
_api: Final = tables.api_token.c
API_TOKEN_COLUMNS: Final = tuple(column for column in tables.api_token.columns if column.name != "hash")


class SqlTokens:
    """The `Tokens` of a connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_session(self, session: Session, first: RefreshToken) -> None:
        self._connection.execute(insert(tables.session).values(rows.fields_of(session, tables.session)))
        self._connection.execute(insert(tables.refresh_token).values(rows.fields_of(first, tables.refresh_token)))

    def refresh_token(self, hash_: str) -> RefreshToken | None:
        statement = select(tables.refresh_token).where(_refresh.hash == hash_)
        return rows.record_of(RefreshToken, rows.one(self._connection, statement, lock=True))

    def session(self, session_id: str) -> Session | None:
        statement = select(tables.session).where(_session.id == session_id)
        return rows.record_of(Session, rows.one(self._connection, statement))

    def replace(self, old: RefreshToken, new: RefreshToken) -> None:
        values = rows.fields_of(old, tables.refresh_token)
        self._connection.execute(update(tables.refresh_token).where(_refresh.hash == old.hash).values(values))
        self._connection.execute(insert(tables.refresh_token).values(rows.fields_of(new, tables.refresh_token)))

    def end_session(self, session_id: str) -> None:
        self._connection.execute(delete(tables.refresh_token).where(_refresh.session_id == session_id))
        self._connection.execute(delete(tables.session).where(_session.id == session_id))

    def sessions_of(self, user_id: str) -> Sequence[str]:
        statement = select(_session.id).where(_session.user_id == user_id).order_by(_session.id)
        return self._connection.execute(statement).scalars().all()

    def end_sessions_of(self, user_id: str) -> int:
        ids = self.sessions_of(user_id)
        if ids:
            self._connection.execute(delete(tables.refresh_token).where(_refresh.session_id.in_(ids)))
            self._connection.execute(delete(tables.session).where(_session.id.in_(ids)))
        return len(ids)

    def revoke(self, token_id: str, user_id: str, until: datetime) -> None:
        rows.put(self._connection, tables.revoked_token, {"token_id": token_id, "user_id": user_id, "until": until})

    def count_revoked(self, user_id: str) -> int:
        statement = select(func.count()).where(tables.revoked_token.c.user_id == user_id)
        return int(self._connection.execute(statement).scalar_one())

    def drop_revoked(self, user_id: str) -> int:
        revoked = tables.revoked_token
        return self._connection.execute(delete(revoked).where(revoked.c.user_id == user_id)).rowcount

    def api_token(self, token_id: str) -> ApiToken | None:
        return self._api_token(_api.id == token_id)

    def api_token_of(self, hash_: str) -> ApiToken | None:
        return self._api_token(_api.hash == hash_)

    def count_api_tokens(self, user_id: str, now: datetime) -> int:
        living = (
            _api.user_id == user_id,
            _api.revoked_at.is_(None),
            or_(_api.expires_at.is_(None), _api.expires_at > now),
        )
        return int(self._connection.execute(select(func.count()).where(*living)).scalar_one())

    def add_api_token(self, token: ApiToken, hash_: str) -> None:
        values = rows.fields_of(token, tables.api_token) | {"hash": hash_}
        self._connection.execute(insert(tables.api_token).values(values))

    def put_api_token(self, token: ApiToken, hash_: str = "") -> None:
        values = rows.fields_of(token, tables.api_token) | ({"hash": hash_} if hash_ else {})
        self._connection.execute(update(tables.api_token).where(_api.id == token.id).values(values))

    def drop_all_of(self, user_id: str) -> dict[str, int]:
        return {
            "session": self.end_sessions_of(user_id),
            "api-token": self._connection.execute(delete(tables.api_token).where(_api.user_id == user_id)).rowcount,
            "revoked-token": self.drop_revoked(user_id),
        }

    def sweep(self, now: datetime, replaced_before: datetime) -> int:
        # Three deletes for the refresh tokens, as an OR over two columns would use no index.
        return (
            rows.sweep(self._connection, _refresh.hash, _refresh.replaced_at < replaced_before)
            + rows.sweep(self._connection, _refresh.hash, _refresh.expires_at < now)
            + rows.sweep(self._connection, _session.id, _session.expires_at < now)
            + rows.sweep(self._connection, tables.revoked_token.c.token_id, tables.revoked_token.c.until < now)
        )

    def _api_token(self, condition: Any) -> ApiToken | None:
        return rows.record_of(
            ApiToken, rows.one(self._connection, select(*API_TOKEN_COLUMNS).where(condition), lock=True)
        )
