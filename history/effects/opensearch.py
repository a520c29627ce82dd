"""Searching in OpenSearch or Elasticsearch, written from the same stream as the tables.

A document is one text of one owner; its id is a digest of both and its version that of the event, so a message that
comes again, or too late, changes nothing (external versions). The words are made here, not by an analyzer of the
engine: so both ways of searching find the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from opensearchpy import OpenSearch
from opensearchpy.exceptions import NotFoundError, OpenSearchException, RequestError

from history.app.searching import Hit, Wish
from history.model.ids import digest
from history.model.search import VARIABLE, SearchEntry, words_of
from history.settings import SearchSettings
from mesh.errors import Unavailable

T = TypeVar("T")
IDS_AT_ONCE: Final = 1_000
"""Ids of one deletion by query; the engine takes 65,536 at most."""
_CONFLICT: Final = 409
_GONE: Final = 404
_MAPPING: Final = {
    "dynamic": "strict",
    "properties": {
        name: {"type": "keyword"}
        for name in ("owner_id", "field", "instance_id", "task_id", "root_id", "tenant_id", "words")
    },
}
_json: Final = msgspec.json.Encoder()


class OpenSearchIndex:
    """A `SearchIndex` and a `SearchWriter`. Raises Unavailable while the engine is away."""

    def __init__(self, settings: SearchSettings) -> None:
        """Nothing is asked yet."""
        credentials = (settings.user, settings.password) if settings.user else None
        self._name = settings.index
        self._client = OpenSearch(
            settings.url,
            http_auth=credentials,
            timeout=settings.timeout_seconds,
            max_retries=0,
            ca_certs=settings.ca_file or None,
        )
        self._is_there = False

    async def search(self, wish: Wish) -> Sequence[Hit]:
        """Up to `size` hits behind `after`, in the order of owner and field."""
        conditions: list[dict[str, Any]] = [{"prefix": {"words": word}} for word in wish.words]
        if wish.tenant_id is not None:
            conditions.append({"term": {"tenant_id": wish.tenant_id}})
        if wish.fields:
            any_of = [{"prefix" if field == VARIABLE else "term": {"field": field}} for field in wish.fields]
            conditions.append({"bool": {"should": any_of}})
        body: dict[str, Any] = {
            "size": wish.size,
            "query": {"bool": {"filter": conditions}},
            "sort": ["owner_id", "field"],
            "_source": ["owner_id", "field", "instance_id", "root_id"],
        }
        if wish.after is not None:
            body["search_after"] = list(wish.after)
        found = await self._run(lambda client: client.search(index=self._name, body=body))
        return [msgspec.convert(hit["_source"], Hit) for hit in found["hits"]["hits"]]

    async def write(self, entries: Sequence[SearchEntry]) -> None:
        """Put entries in; one whose version is older than what is there changes nothing."""
        if not entries:
            return
        lines: list[bytes] = []
        for entry in entries:
            words = words_of(entry.text)
            meta = {
                "_index": self._name,
                "_id": digest(entry.owner_id, entry.field),
                "version": entry.version,
                "version_type": "external_gte",
            }
            lines.append(_json.encode({"index" if words else "delete": meta}))
            if words:
                lines.append(_json.encode({**_document(entry), "words": words}))
        body = b"\n".join(lines).decode() + "\n"
        answer = await self._run(lambda client: client.bulk(body=body))
        for item in answer["items"] if answer["errors"] else ():
            (result,) = item.values()
            if "error" in result and result["status"] not in (_CONFLICT, _GONE):
                raise Unavailable("search-refused", f"expected the engine to take a text, found: {result['error']}")

    async def forget(self, ids: Sequence[str]) -> None:
        """Take out all that belongs to these instances and tasks."""
        for start in range(0, len(ids), IDS_AT_ONCE):
            part = list(ids[start : start + IDS_AT_ONCE])
            any_of = [{"terms": {name: part}} for name in ("instance_id", "owner_id", "task_id")]
            await self._delete({"bool": {"should": any_of}})

    async def forget_texts(self, keys: Sequence[tuple[str, str]]) -> None:
        """Take out texts by their owner and field."""
        for start in range(0, len(keys), IDS_AT_ONCE):
            ids = [digest(*key) for key in keys[start : start + IDS_AT_ONCE]]
            await self._delete({"ids": {"values": ids}})

    async def forget_tenant(self, tenant_id: str) -> None:
        """Take out all that belongs to a tenant."""
        await self._delete({"term": {"tenant_id": tenant_id}})

    async def probe(self) -> None:
        """Raise Unavailable unless the engine answers."""
        await self._run(lambda client: client.cluster.health())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def _delete(self, query: dict[str, Any]) -> None:
        def work(client: OpenSearch) -> None:
            # What was just written is found by a query only after a refresh.
            client.indices.refresh(index=self._name)
            client.delete_by_query(
                index=self._name, body={"query": query}, params={"conflicts": "proceed", "refresh": "true"}
            )

        await self._run(work)

    async def _run(self, work: Callable[[OpenSearch], T]) -> T:
        def run() -> T:
            if not self._is_there:
                self._make()
            return work(self._client)

        try:
            return await asyncio.to_thread(run)
        except NotFoundError as error:
            self._is_there = False
            raise Unavailable("search-away", "expected the index of the search engine, found none") from error
        except OpenSearchException as error:
            raise Unavailable("search-away", f"expected the search engine to answer, found: {error}") from error

    def _make(self) -> None:
        """Make the index where there is none; two processes may both try."""
        if not self._client.indices.exists(index=self._name):
            try:
                self._client.indices.create(index=self._name, body={"mappings": _MAPPING})
            except RequestError as error:
                if "resource_already_exists_exception" not in str(error):
                    raise
        self._is_there = True


def _document(entry: SearchEntry) -> dict[str, str]:
    return {
        "owner_id": entry.owner_id,
        "field": entry.field,
        "instance_id": entry.instance_id,
        "task_id": entry.task_id,
        "root_id": entry.root_id,
        "tenant_id": entry.tenant_id,
    }
