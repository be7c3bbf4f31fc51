"""Declares the commands of the server and of its keys, and their options."""

from __future__ import annotations

import json
from typing import Annotated

import typer

server_app = typer.Typer()
keys_app = typer.Typer(no_args_is_help=True, help="Create, list and revoke the keys of callers.")
server_app.add_typer(keys_app, name="keys")

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@server_app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="The address to listen at. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The port there. [default: 8765]")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Jobs worked on at once; 0 leaves them to stretto worker. [default: 2]"),
    ] = None,
) -> None:
    """Answer over HTTP: OpenAI's audio API, Stretto's own, and a page for people.

    Exit codes: 0 told to leave, 1 something was wrong, 2 wrong usage.
    """
    from stretto.interfaces.cli import serving

    raise typer.Exit(serving.serve(serve_host=host, serve_port=port, serve_jobs=jobs))


@keys_app.command("create")
def keys_create(
    owner: Annotated[str, typer.Option(help="Whose jobs and transcripts it leads to.")],
    scopes: Annotated[str, typer.Option(help="read, write and admin, with commas.")] = "read,write",
    as_json: Json = False,
) -> None:
    """Make a key, and show it this once: only its hash is kept."""
    from stretto.bootstrap import load_settings
    from stretto.bootstrap.serving import create_key
    from stretto.contexts.core.access import scopes_from

    secret, key = create_key(load_settings(), owner=owner, scopes=scopes_from(scopes))
    if as_json:
        typer.echo(json.dumps({"id": str(key.id), "owner": key.owner, "key": secret}))
        return
    typer.echo(secret)
    typer.echo(f"The key {key.id} of {key.owner}; it is not shown again.", err=True)


@keys_app.command("list")
def keys_list(as_json: Json = False) -> None:
    """Show which keys there are, without the keys themselves."""
    from stretto.bootstrap import load_settings
    from stretto.bootstrap.serving import list_keys

    keys = list_keys(load_settings())
    rows = [
        {
            "id": str(key.id),
            "owner": key.owner,
            "scopes": sorted(key.scopes),
            "created_at": key.created_at.unix_s,
            "revoked_at": key.revoked_at.unix_s if key.revoked_at else None,
        }
        for key in keys
    ]
    if as_json:
        typer.echo(json.dumps({"keys": rows}))
        return
    for key in keys:
        state = "revoked" if key.revoked_at else "valid"
        typer.echo(f"{key.id}\t{key.owner}\t{','.join(sorted(key.scopes))}\t{state}")


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Let nobody in with a key any more; servers notice within seconds."""
    from stretto.bootstrap import load_settings
    from stretto.bootstrap.serving import revoke_key

    revoke_key(load_settings(), key_id)
    typer.echo(f"The key {key_id} is revoked.")
