"""faster-whisper's ``WhisperModel.transcribe`` as it comes: sequential windows, beam of five."""

from __future__ import annotations

from benchmarks.systems import answer, cores, task


def main() -> None:
    from faster_whisper import WhisperModel

    given = task()
    model = WhisperModel(given.model, device="cpu", compute_type="int8", cpu_threads=cores())
    segments, info = model.transcribe(given.wav, language=given.language)
    answer(" ".join(segment.text.strip() for segment in segments), audio_s=info.duration)


if __name__ == "__main__":
    main()
