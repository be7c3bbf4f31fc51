"""Where the command starts: even an interrupt while the program loads is no traceback."""

from __future__ import annotations


def main() -> None:
    """The script ``stretto`` and ``python -m stretto``."""
    try:
        from stretto.interfaces.cli.main import main as run

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
