"""What becomes of a job that did not end well: tried again with a growing wait, or given up."""

from __future__ import annotations

from dataclasses import dataclass, field

from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import Change, Job, JobError, Moment
from stretto.contexts.queue.policy import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryHandler:
    """Applies the policy to a job, for whoever may change it; None when nobody may any more."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)

    def is_last(self, job: Job) -> bool:
        """Whether a job that meets an outage once more does not wait for its end again."""
        return self.policy.death_by_outage(job.outages + 1) is not None

    def after_error(
        self,
        job: Job,
        now: Moment,
        *,
        fence: int,
        error: JobError,
        retryable: bool,
        outage: bool = False,
    ) -> Change | None:
        """Its worker says what went wrong; an ``outage`` is trouble of a service elsewhere."""
        return transitions.failed(
            job,
            now,
            fence=fence,
            error=error,
            retryable=retryable,
            outage=outage,
            policy=self.policy,
        )

    def after_silence(self, job: Job, now: Moment) -> Change | None:
        """Its worker says nothing any more."""
        return transitions.expired(job, now, policy=self.policy)
