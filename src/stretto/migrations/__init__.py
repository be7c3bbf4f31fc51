"""How the tables came to be what they are: one revision a step, on both databases.

Only the list of the revisions is here, because every start of the program compares it with what
the database says; the library that carries a step out is imported when there is one to do.
"""

from typing import Final

REVISIONS: Final = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
)
"""From the oldest to the newest; a test holds them against the files in ``versions``."""
