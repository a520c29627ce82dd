"""`flowloom serve`: one service of the mesh."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from host.cli.output import complain
from mesh.settings import SettingsError


class Service(StrEnum):
    """What can be served alone."""

    ENGINE = "engine"
    IDENTITY = "identity"
    FORMS = "forms"
    NOTIFY = "notify"
    HISTORY = "history"
    GATEWAY = "gateway"


def serve(service: Annotated[Service, typer.Argument(help="Which one.", show_default=False)]) -> None:
    """Run one service; its settings come from the environment (FLOWLOOM_ENGINE_..., FLOWLOOM_HISTORY_...)."""
    # The service comes along with this import; no other command needs it.
    from host.running import serve as run

    try:
        run(service.value)
    except SettingsError as wrong:
        for problem in wrong.problems:
            complain("not-started", problem)
        raise typer.Exit(1) from wrong
    except (RuntimeError, OSError) as failed:
        complain("not-started", str(failed))
        raise typer.Exit(1) from failed
