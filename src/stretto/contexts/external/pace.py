"""How fast a service may be asked: what is allowed, and what was learned from its refusals.

Everything here is a pure function of a state and the time, so that one process keeps the state in
its memory, and many keep it in Redis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

WINDOW_S: Final = 60.0
GRAIN_S: Final = 0.001
"""Added to a minute, so that no rounding of a clock makes it a shorter one."""

RECENT_S: Final = 10.0
RECENT_STARTS: Final = 40
"""How fast a service was asked when it refused is told by so many calls, of ten seconds at most."""

PERMIT_S: Final = 900.0
"""A permit that nobody gave back, because its process died, is taken away after so long."""

DECREASE: Final = 0.8
"""The pace that is tried after a refusal, as a share of the one that was refused."""

EARLY: Final = 0.25
"""A refusal in the first quarter of the time for which a pace was left alone says that the limit
has fallen: what was answered since the last one tells how far."""

DEEPEST_FALL: Final = 0.2
"""Few calls tell little: no less than such a share of what was just tried is believed."""

SOONEST_RETURN_S: Final = 8.0
CALLS_BEFORE_RETURN: Final = 10.0
CALLS_BEFORE_LATEST_RETURN: Final = 75.0
EASY_RETURN_S: Final = 15.0
"""Even where so long is many calls, a limit that stays is not tried more often."""

GROWTH_S: Final = 3.0
"""Where the refused pace is exceeded and nothing happens, it grows by e in so many seconds."""

SLOWEST_PER_S: Final = 1 / 60
MET_AGAIN: Final = 1.5
"""A refusal at a pace up to so many times the one refused before is the same limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What a service allows: requests and seconds of audio in any minute (0: no limit), and calls
    at the same time."""

    requests_per_minute: int = 0
    audio_s_per_minute: float = 0.0
    concurrency: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One call that was let through: when, and with how many seconds of audio."""

    at: float
    audio_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """``starts`` are those of the last minute, oldest first; ``permits`` the calls being made, each
    with the moment at which it counts as forgotten. ``ceiling_per_s`` is the pace that was refused
    at ``learned_at``, 0 for none, and ``return_s`` the time after which it is tried again;
    ``at_once`` is the learned concurrency, 0 for none.
    """

    starts: tuple[Start, ...] = ()
    permits: tuple[tuple[str, float], ...] = ()
    ceiling_per_s: float = 0.0
    return_s: float = 0.0
    at_once: float = 0.0
    closed_until: float = 0.0
    learned_at: float = 0.0


def wait_s(pace: Pace, limit: RateLimit, audio_s: float, now: float) -> float:
    """Seconds until a call with ``audio_s`` may start; 0 for at once, never too few."""
    pace = _tidied(pace, now)
    waits = [0.0, pace.closed_until - now]
    if len(pace.permits) >= _at_once(pace, limit):
        waits.append(0.25)  # whoever gives one back wakes the others
    if limit.requests_per_minute:
        waits.append(_until_room(pace, 1, limit.requests_per_minute, now, audio=False))
    if limit.audio_s_per_minute:
        # A call with more than a minute's worth may go when it is alone in its minute.
        cost = min(audio_s, limit.audio_s_per_minute)
        waits.append(_until_room(pace, cost, limit.audio_s_per_minute, now, audio=True))
    if pace.ceiling_per_s and pace.starts:
        waits.append(pace.starts[-1].at + 1 / pace_per_s(pace, now) - now)
    return max(waits)


def started(pace: Pace, permit: str, audio_s: float, now: float) -> Pace:
    pace = _tidied(pace, now)
    return replace(
        pace,
        starts=(*pace.starts, Start(at=now, audio_s=audio_s)),
        permits=(*pace.permits, (permit, now + PERMIT_S)),
    )


def given_back(pace: Pace, permit: str) -> Pace:
    return replace(pace, permits=tuple(p for p in pace.permits if p[0] != permit))


def pace_per_s(pace: Pace, now: float) -> float:
    """The learned pace: a straight line from below the refused one up to it, and fast beyond it.

    After CUBIC (Ha, Rhee, Xu 2008): near to what was refused it is asked for carefully; where the
    limit was lifted, it is soon found.
    """
    ceiling = pace.ceiling_per_s
    since_s = now - pace.learned_at
    if since_s <= pace.return_s:
        return ceiling * (1 - (1 - DECREASE) * (1 - since_s / pace.return_s) ** 3)
    return ceiling * math.exp(min((since_s - pace.return_s) / GROWTH_S, 50.0))


def refused(pace: Pace, limit: RateLimit, *, asked_at: float, closed_s: float, now: float) -> Pace:
    """After a 429 to a call that started at ``asked_at``: closed for a while, then slower.

    Once for all calls that were already on their way when the pace was last lowered: twenty
    refusals of one burst are one piece of news.
    """
    closed = replace(pace, closed_until=max(pace.closed_until, now + closed_s))
    if asked_at < pace.learned_at:
        return closed
    per_s = _asked_per_s(pace, now)
    fell = False
    if pace.ceiling_per_s:
        fell = now - pace.learned_at < EARLY * pace.return_s
        tried_per_s = pace_per_s(pace, now)
        most = _answered_per_s(pace, asked_at, now) if fell else tried_per_s
        per_s = min(per_s, tried_per_s, max(DEEPEST_FALL * tried_per_s, most))
    per_s = max(SLOWEST_PER_S, per_s)
    return replace(
        closed,
        ceiling_per_s=per_s,
        return_s=_return_s(per_s, pace if not fell else Pace(), now),
        at_once=max(1.0, _at_once(pace, limit) / 2),
        learned_at=now,
    )


def _asked_per_s(pace: Pace, now: float) -> float:
    """Over the last calls, or over the last second where it had more of them."""
    recent = [s.at for s in pace.starts if s.at > now - RECENT_S]
    counted = max(RECENT_STARTS, sum(at > now - 1.0 for at in recent))
    recent = recent[-counted:]
    return len(recent) / max(1.0, now - recent[0]) if recent else SLOWEST_PER_S


def _answered_per_s(pace: Pace, asked_at: float, now: float) -> float:
    """Since the last refusal, when there was no room left; the call that is refused now started at
    ``asked_at``. What a service lets through from one refusal to the next is what it allows."""
    answered = sum(pace.learned_at < s.at < asked_at for s in pace.starts)
    return answered / max(GRAIN_S, now - pace.learned_at)


def _return_s(per_s: float, before: Pace, now: float) -> float:
    """A limit that is met again where it was, and not soon, is tried half as often each time, until
    one call in about seventy is refused; one that has moved is tried soon, as it may move back."""
    soonest_s = max(SOONEST_RETURN_S, CALLS_BEFORE_RETURN / per_s)
    latest_s = max(soonest_s, EASY_RETURN_S, CALLS_BEFORE_LATEST_RETURN / per_s)
    met_again = before.ceiling_per_s and per_s <= MET_AGAIN * before.ceiling_per_s
    longer = 2.0 if now - before.learned_at > before.return_s / 2 else 1.0
    wanted_s = longer * before.return_s if met_again else 0.0
    return min(latest_s, WINDOW_S, max(soonest_s, wanted_s))


def succeeded(pace: Pace, limit: RateLimit) -> Pace:
    """One call more at once for as many answers as there are calls at once (additive increase,
    multiplicative decrease: Chiu and Jain 1989)."""
    if not pace.at_once:
        return pace
    grown = pace.at_once + 1 / max(1.0, pace.at_once)
    return replace(pace, at_once=grown if grown < limit.concurrency else 0.0)


def _at_once(pace: Pace, limit: RateLimit) -> int:
    return max(1, min(limit.concurrency, int(pace.at_once or limit.concurrency)))


def _until_room(pace: Pace, cost: float, allowed: float, now: float, *, audio: bool) -> float:
    """Seconds until the starts of the last minute leave room for ``cost``."""
    spent = [(s.at, s.audio_s if audio else 1.0) for s in pace.starts if s.at > now - WINDOW_S]
    excess = sum(amount for _, amount in spent) + cost - allowed
    until = 0.0
    for at, amount in spent:
        if excess <= 0:
            break
        excess -= amount
        until = at + WINDOW_S + GRAIN_S - now
    return until


def _tidied(pace: Pace, now: float) -> Pace:
    return replace(
        pace,
        starts=tuple(s for s in pace.starts if s.at > now - WINDOW_S),
        permits=tuple(p for p in pace.permits if p[1] > now),
    )
