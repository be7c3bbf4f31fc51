"""Prints where the demo recording lies: 44 seconds of speech that an installed package carries."""

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    spec = find_spec("moonshine_voice")  # finds the package without importing it
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        sys.exit('The demo recording is missing. Install it with: pip install "stretto[demo]"')
    sys.stdout.write(str(Path(next(iter(folders))) / "assets" / "two_cities.wav") + "\n")


if __name__ == "__main__":
    main()
