"""`sitegen serve`."""

from __future__ import annotations

from pathlib import Path

import click

from sitegen.cli import options
from sitegen.cli.options import compute_options, compute_target, config_option, talk_options


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
@click.option("--offline", is_flag=True, help="Render nothing; show what there is.")
@compute_options
@talk_options
def serve(
    config: Path, port: int, open_browser: bool, offline: bool, device: str, precision: str
) -> None:
    """Show the site in the browser while you work on it, and reload when it changes.

    Words are there at once; clips are rendered in the background, and the old ones stay until the
    new ones are ready. A mistake is shown in the page, with file and line. Only this machine can
    look at it. When all is rendered, the output folder is as after `sitegen build`. Ctrl-C stops.

    \b
    Examples:
      sitegen serve
      sitegen serve --config paper/site.toml --port 0 --open
    """
    from sitegen.build.context import BuildOptions
    from sitegen.config.loader import load_site
    from sitegen.core.signals import stop_on_signals
    from sitegen.server.app import HOST, listening, serve
    from sitegen.server.preview import Preview

    if not config.is_file():
        load_site(config)  # says what is wrong
    wanted = BuildOptions(compute_target(device, precision), offline=offline)
    console = options.console()
    preview = Preview(config, wanted, options.figure_renderer, console)
    with stop_on_signals() as stop, listening(port) as listener:
        preview.refresh()
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        tell = console.note if port else click.echo  # else nobody could know the port
        tell(f"serving {config.absolute().parent} at {address} (Ctrl-C stops)")
        if open_browser:
            click.launch(address)
        serve(preview, listener, stop)
    raise SystemExit(128 + (stop.signal or 0))
