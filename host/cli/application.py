"""All commands as one application."""

from __future__ import annotations

import sys
from typing import Final

import typer

from host.cli import (
    check,
    claim,
    complete,
    credentials,
    dead_letters,
    definitions,
    demo,
    deploy,
    forms,
    groups,
    history,
    instances,
    jobs,
    login,
    message,
    migrate,
    notifications,
    privileges,
    sagas,
    serve,
    signal,
    start,
    tasks,
    tokens,
    up,
    users,
)
from host.cli.output import complain

app: Final = typer.Typer(
    name="flowloom",
    help="Run BPMN 2.0 processes on a mesh of gRPC services, as Flowable does.\n\n"
    "Begin with 'flowloom up', or see it all in 'flowloom demo'. Then 'flowloom deploy', 'start', 'tasks', 'complete'.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MESH: Final = "The mesh"
PROCESSES: Final = "Processes"
PEOPLE: Final = "Tasks"
OPERATIONS: Final = "Operations"
WHO: Final = "Who may do what"

app.callback()(credentials.remember)
app.command("login", rich_help_panel=MESH)(login.login)
app.command("logout", rich_help_panel=MESH)(login.logout)
app.command("up", rich_help_panel=MESH)(up.up)
app.command("serve", rich_help_panel=MESH)(serve.serve)
app.command("demo", rich_help_panel=MESH)(demo.demo)
app.command("deploy", rich_help_panel=PROCESSES)(deploy.deploy)
app.command("definitions", rich_help_panel=PROCESSES)(definitions.definitions)
app.command("start", rich_help_panel=PROCESSES)(start.start)
app.command("instances", rich_help_panel=PROCESSES)(instances.instances)
app.command("message", rich_help_panel=PROCESSES)(message.message)
app.command("signal", rich_help_panel=PROCESSES)(signal.signal)
app.command("tasks", rich_help_panel=PEOPLE)(tasks.tasks)
app.command("claim", rich_help_panel=PEOPLE)(claim.claim)
app.command("complete", rich_help_panel=PEOPLE)(complete.complete)
app.add_typer(forms.app, name="forms", rich_help_panel=PROCESSES)
app.add_typer(jobs.app, name="jobs", rich_help_panel=OPERATIONS)
app.add_typer(sagas.app, name="sagas", rich_help_panel=OPERATIONS)
app.add_typer(notifications.app, name="notifications", rich_help_panel=OPERATIONS)
app.add_typer(history.app, name="history", rich_help_panel=OPERATIONS)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=OPERATIONS)
app.add_typer(users.app, name="users", rich_help_panel=WHO)
app.add_typer(groups.app, name="groups", rich_help_panel=WHO)
app.add_typer(privileges.app, name="privileges", rich_help_panel=WHO)
app.add_typer(tokens.app, name="tokens", rich_help_panel=WHO)
app.command("migrate", rich_help_panel=OPERATIONS)(migrate.migrate)
app.command("check", rich_help_panel=OPERATIONS)(check.check)


def main() -> None:
    """Run the command line and exit; what goes wrong is one line on the error stream, never a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough.
        sys.stderr.close()
        sys.exit(141)
    except Exception as failed:
        complain("internal", f"{type(failed).__name__}: {failed}")
        sys.exit(1)
