"""``python -m stretto`` is the command line."""

from stretto.interfaces.cli.entry import main

if __name__ == "__main__":
    main()
