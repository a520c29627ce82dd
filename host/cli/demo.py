"""`flowloom demo`: a leave approval from its deployment to its history."""

from __future__ import annotations

import typer


def demo() -> None:
    """Start a mesh of its own, run a leave approval over REST to its end, show it, and stop."""
    # What it is made of comes along with this import; no other command needs it.
    from host.demo.leave_approval import run_demo

    if not run_demo():
        raise typer.Exit(1)
