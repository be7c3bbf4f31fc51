"""Stretto transcribes recordings of any length: in parallel chunks, cached by content.

>>> import stretto
>>> transcript = stretto.transcribe("talk.mp3")   # doctest: +SKIP
>>> print(transcript.text)                        # doctest: +SKIP

Importing this package loads nothing heavy and opens nothing.
"""

__version__ = "0.1.0"
