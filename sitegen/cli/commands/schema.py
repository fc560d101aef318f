"""`sitegen schema`."""

from __future__ import annotations

import click


@click.command()
@click.option("--reference", is_flag=True, help="Print a page of reference in Markdown instead.")
def schema(reference: bool) -> None:
    """Print the JSON Schema of site.toml, by which editors complete and check it.

    Name the printed file in the first line of site.toml: #:schema ./site.schema.json

    \b
    Examples:
      sitegen schema > site.schema.json
      sitegen schema --reference | less
    """
    import json

    from sitegen.config import reference as made

    if reference:
        click.echo(made.reference(), nl=False)
    else:
        click.echo(json.dumps(made.site_schema(), indent=2, ensure_ascii=False))
