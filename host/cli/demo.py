"""`flowloom demo`: a leave approval from its deployment to its history."""

from __future__ import annotations

import typer

from host.demo.leave_approval import run_demo


def demo() -> None:
    """Start a mesh of its own, run a leave approval over REST to its end, show it, and stop."""
    if not run_demo():
        raise typer.Exit(1)
