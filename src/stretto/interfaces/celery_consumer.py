"""How a Celery worker listens to RabbitMQ: only while one of its hands is free.

Left to itself, Celery has RabbitMQ hand out one message in advance for each hand. It would lie
here, unacknowledged, for as long as the job takes that the hand works on. After half an hour of
that (``consumer_timeout``) RabbitMQ closes the channel, and Celery ends; and until then no other
worker could answer the call. For Redis, Celery has a setting that does the same as this
(``worker_disable_prefetch``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.bootsteps import RUN
from celery.worker import state
from celery.worker.consumer import Consumer


class FreeHandsConsumer(Consumer):  # type: ignore[misc]
    """Stops consuming when all hands are busy, and begins again when one is free. What RabbitMQ
    has sent in between goes back into its place in the queue, for whoever has a hand."""

    def create_task_handler(self, *given: Any, **named: Any) -> Callable[[Any], None]:
        receive: Callable[[Any], None] = super().create_task_handler(*given, **named)
        if self.hub is None:  # a pool that Celery has wait in its own way
            return receive

        def receive_if_free(message: Any) -> None:
            if self._is_busy():
                message.requeue()
            else:
                receive(message)

        self.hub.on_tick.add(self._listen_if_free)
        return receive_if_free

    def _is_busy(self) -> bool:
        return len(state.reserved_requests) >= int(self.pool.num_processes)

    def _listen_if_free(self) -> None:
        """Whenever anything has happened: a message, an end of a job, or a second or two."""
        if self.blueprint.state != RUN or not self.connection or not self.task_consumer:
            return
        is_listening = any(map(self.task_consumer.consuming_from, self.task_consumer.queues))
        if is_listening and self._is_busy():
            self.task_consumer.cancel()
        elif not is_listening and not self._is_busy():
            self.task_consumer.consume()
