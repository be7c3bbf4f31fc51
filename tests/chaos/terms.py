"""How much of everything is broken, which way the dice fall, and how long that may take."""

from __future__ import annotations

import os

SEED = int(os.environ.get("STRETTO_CHAOS_SEED", "1"))
TIMES = int(os.environ.get("STRETTO_CHAOS", "1"))
"""As often as the tests do it; ``make chaos`` says ten."""

ENOUGH_S = 60.0 * TIMES
"""For whatever must come to an end, however slow the machine is."""

KILLS = 2 if TIMES == 1 else 4 * TIMES
"""Two cannot use up the budget of a job: nothing is left to chance in the ordinary run."""
