"""faster-whisper's ``BatchedInferencePipeline`` with batches of eight, otherwise as it comes."""

from __future__ import annotations

from benchmarks.systems import answer, cores, task

BATCH_SIZE = 8


def main() -> None:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    given = task()
    model = WhisperModel(given.model, device="cpu", compute_type="int8", cpu_threads=cores())
    pipeline = BatchedInferencePipeline(model=model)
    segments, info = pipeline.transcribe(given.wav, language=given.language, batch_size=BATCH_SIZE)
    answer(" ".join(segment.text.strip() for segment in segments), audio_s=info.duration)


if __name__ == "__main__":
    main()
