"""`sitegen serve`."""

from __future__ import annotations

from pathlib import Path

import click

from sitegen.commands import shared
from sitegen.commands.shared import config_option, equipment, equipment_options, talk_options


@click.command()
@config_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Where to listen on this machine; 0 takes any port that is free.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
@click.option("--offline", is_flag=True, help="Film nothing; show what there is.")
@equipment_options()
@talk_options
def serve(
    config: Path, port: int, open_browser: bool, offline: bool, device: str, precision: str
) -> None:
    """Show the site in the browser while you work on it, and reload when it changes.

    Words are there at once; clips are filmed in the background, and the old ones stay until the
    new ones are ready. A mistake is shown in the page, with file and line. Only this machine can
    look at it. When all is filmed, the output folder is as after `sitegen build`. Ctrl-C stops.

    \b
    Examples:
      sitegen serve
      sitegen serve --config paper/site.toml --port 0 --open
    """
    from sitegen.config import load_site
    from sitegen.live import Preview
    from sitegen.serve import HOST, listening, serve
    from sitegen.stopping import stop_on_signals
    from sitegen.work import Options

    if not config.is_file():
        load_site(config)  # says what is wrong
    options = Options(equipment(device, precision), offline=offline)
    console = shared.console()
    preview = Preview(config, options, shared.studio, console)
    with stop_on_signals() as stop, listening(port) as listener:
        preview.refresh()
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        console.note(f"serving {config.absolute().parent} at {address} (Ctrl-C stops)")
        if open_browser:
            click.launch(address)
        serve(preview, listener, stop)
    raise SystemExit(128 + (stop.signal or 0))
