"""The one rule by which sound is cut: a pause is a cut if no other within reach is as quiet."""

from __future__ import annotations

from collections.abc import Sequence

from stretto.contexts.processing.model import Pause


def natural_cuts(
    pauses: Sequence[Pause], reach: int, certain: int, *, at_end: bool = False
) -> list[Pause]:
    """The pauses that are quieter than all others within ``reach`` samples on both sides.

    Only those are judged whose reach lies below ``certain``, unless the recording ends there.
    Of equally quiet ones the first wins. O(n) by two monotonic sweeps.
    """
    quiet_before = _undercut(pauses, reach, strict=False)
    quiet_after = _undercut(pauses[::-1], reach, strict=True)[::-1]
    return [
        pause
        for pause, before, after in zip(pauses, quiet_before, quiet_after, strict=True)
        if not before and not after and (at_end or pause.position + reach <= certain)
    ]


def _undercut(pauses: Sequence[Pause], reach: int, *, strict: bool) -> list[bool]:
    """For each pause: is one within ``reach`` behind it quieter (or, not ``strict``, as quiet)?"""
    answers, quietest = [], list[Pause]()
    for pause in pauses:
        while quietest and quietest[-1].loudness > pause.loudness:
            quietest.pop()
        rival = quietest[-1] if quietest else None
        if strict and rival and rival.loudness == pause.loudness:
            rival = next((q for q in reversed(quietest) if q.loudness < pause.loudness), None)
        answers.append(rival is not None and abs(pause.position - rival.position) <= reach)
        quietest.append(pause)
    return answers
