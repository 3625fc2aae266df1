"""The command line: which commands there are."""

from __future__ import annotations

from importlib.metadata import version as version_of

import typer

from uoro.cli.acts import CLONE_HELP, DELETE_HELP, FREEZE_HELP, UNFREEZE_HELP, clone, delete, freeze, unfreeze
from uoro.cli.doctor import DOCTOR_HELP, doctor
from uoro.cli.ingest import ingest
from uoro.cli.keys import keys
from uoro.cli.models import EXPORT_HELP, IMPORT_HELP, export_model, import_model
from uoro.cli.replay import REPLAY_HELP, replay
from uoro.cli.serve import serve, settings_help
from uoro.cli.snapshots import snapshots
from uoro.cli.streams import STREAMS_HELP, streams
from uoro.cli.watch import WATCH_HELP, watch

application = typer.Typer(
    name="uoro",
    help="A server that keeps one recurrent model per stream and learns from every observation at once.\n\n"
    "Example: uoro serve, and then in another terminal: uoro replay taxi.csv",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def version() -> None:
    """Print the version. Example: uoro version"""
    typer.echo(version_of("uoro-service"))


application.command("serve", help=settings_help())(serve)
application.command("replay", help=REPLAY_HELP)(replay)
application.command("streams", help=STREAMS_HELP)(streams)
application.command("watch", help=WATCH_HELP)(watch)
application.add_typer(snapshots)
application.command("freeze", help=FREEZE_HELP)(freeze)
application.command("unfreeze", help=UNFREEZE_HELP)(unfreeze)
application.command("clone", help=CLONE_HELP)(clone)
application.command("delete", help=DELETE_HELP)(delete)
application.command("export", help=EXPORT_HELP)(export_model)
application.command("import", help=IMPORT_HELP)(import_model)
application.add_typer(ingest)
application.add_typer(keys)
application.command("doctor", help=DOCTOR_HELP)(doctor)
application.command("version")(version)
