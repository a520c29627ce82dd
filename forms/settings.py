"""What can be set about forms, from `FLOWLOOM_FORMS_*`."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.db.database import DatabaseSettings
from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class FormsDatabase(DatabaseSettings):
    """Forms' own database; a file of its own where it is SQLite."""

    url: str = setting("sqlite:///flowloom-forms.db", doc="MySQL, MariaDB or SQLite of its own.", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvingSettings:
    """How form keys find their forms."""

    default_tenant: str = setting("", doc="The tenant whose forms serve tenants that have none of a key.")
    fallback_to_default_tenant: bool = setting(False, doc="Look into the default tenant where nobody says.")
    kept: int = setting(500, doc="Forms that are kept read.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningSettings:
    """How long repeated calls are recognized."""

    look_seconds: float = setting(600.0, doc="How often is looked for what can go.", minimum=1)
    retention_seconds: float = setting(86_400.0, doc="How long answers and discarded submissions stay.", minimum=60)
