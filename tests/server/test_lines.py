"""Events as they are sent."""

from __future__ import annotations

from stretto.contexts.core.events import JobHandedBack
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.queue.service import Heard
from stretto.interfaces.http.lines import BLOCK_BYTES, Line, line_of, portion


def lines(count: int, size: int) -> list[Line]:
    event = JobHandedBack(at=Timestamp(0.0), job_id=JobId.new())
    return [Line(Heard(number=n, event=event), bytes(size)) for n in range(count)]


def test_little_is_sent_at_once_in_its_order_and_never_nothing() -> None:
    assert [line.number for line in portion(lines(5, BLOCK_BYTES // 2))] == [0, 1]
    assert len(portion(lines(5, 2 * BLOCK_BYTES))) == 1
    assert len(portion(lines(3, 10))) == 3
    assert portion([]) == []


def test_an_event_is_told_with_its_number_and_name() -> None:
    event = JobHandedBack(at=Timestamp(0.0), job_id=JobId.new())
    sent = line_of(Heard(number=7, event=event)).sent.decode()
    assert sent.startswith("id: 7\nevent: JobHandedBack\ndata: {")
    assert sent.endswith("}\n\n")
