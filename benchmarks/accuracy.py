"""Counts the words that a system got wrong, after the normalisation that Whisper is judged by."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Word errors of one transcript against ``words`` true words."""

    words: int
    substitutions: int
    deletions: int
    insertions: int


def compare(truth: str, heard: str, *, language: str) -> Errors:
    """Align both texts word by word (Levenshtein) after normalising both alike.

    English goes through Whisper's English normaliser (numbers, spellings, contractions), other
    languages through its basic one (case, punctuation): Radford et al. 2022, appendix C.
    """
    import jiwer

    normalise = normaliser(language)
    reference, hypothesis = normalise(truth).strip(), normalise(heard).strip()
    found = jiwer.process_words(reference, hypothesis)
    return Errors(
        words=len(reference.split()),
        substitutions=found.substitutions,
        deletions=found.deletions,
        insertions=found.insertions,
    )


@functools.cache
def normaliser(language: str) -> Callable[[str], str]:
    with warnings.catch_warnings():
        # Its source has escape sequences that newer Pythons warn about when first compiled.
        warnings.simplefilter("ignore")
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    chosen: Callable[[str], str] = (
        EnglishTextNormalizer() if language == "en" else BasicTextNormalizer()
    )
    return chosen
