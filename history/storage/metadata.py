"""The metadata that all tables of history belong to."""

from __future__ import annotations

from typing import Final

from mesh.db.columns import new_metadata

metadata: Final = new_metadata()
