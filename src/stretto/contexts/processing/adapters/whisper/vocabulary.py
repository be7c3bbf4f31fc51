"""Whisper's token alphabet: special tokens, prompts, text, and words out of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAXIMUM_PROMPT_TOKENS: Final = 223
"""Half of the decoder's 448 positions, less one: as in the reference implementation."""

WITHOUT_BLANKS: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue", "km", "bo"})
"""Languages whose writing has no blanks between words; each character stands for itself."""

OPENING: Final = frozenset("\"'“¿([{-«„")
CLOSING: Final = frozenset("\"'.。,，!！?？:：”)]}、»…;")
WHISPER_CODES: Final = {"jv": "jw"}
REPLACEMENT: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class WordTokens:
    """One word as it is written, with the blank before it, and the tokens that spell it."""

    text: str
    tokens: tuple[int, ...]


class Vocabulary:
    """Wraps ``tokenizer.json`` of one model folder."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.end_of_text = self._id("<|endoftext|>")
        self.start_token = self._id("<|startoftranscript|>")
        self.no_speech_token = max(self._id("<|nospeech|>"), self._id("<|nocaptions|>"))
        self._no_timestamps = self._id("<|notimestamps|>")
        self._previous = self._id("<|startofprev|>")

    @property
    def languages(self) -> dict[str, int]:
        """The token of each of Whisper's language codes: they stand together behind the start."""
        found = {}
        for token in range(self.start_token + 1, self._id("<|translate|>")):
            found[str(self._tokenizer.id_to_token(token)).strip("<|>")] = token
        return found

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        return -1 if found is None else int(found)

    def knows(self, language: Language) -> bool:
        return self._language_token(language) >= 0

    def _language_token(self, language: Language) -> int:
        return self._id(f"<|{WHISPER_CODES.get(language.code, language.code)}|>")

    def start(self, language: Language | None, task: Task) -> list[int]:
        """The tokens that open a transcript; a model of one language knows no ``language``."""
        if language is None:
            return [self.start_token]
        return [self.start_token, self._language_token(language), self._id(f"<|{task.value}|>")]

    def prompt(self, start: Sequence[int], text: str, *, timestamps: bool) -> list[int]:
        before: list[int] = []
        if text.strip():
            said = self._tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids
            before = [self._previous, *said[-MAXIMUM_PROMPT_TOKENS:]]
        return [*before, *start, *([] if timestamps else [self._no_timestamps])]

    def text_tokens(self, tokens: Sequence[int]) -> list[int]:
        """Without end, timestamps and other special tokens, which all come after the text ones."""
        return [token for token in tokens if token < self.end_of_text]

    def text(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def words(self, tokens: Sequence[int], language: Language | None) -> list[WordTokens]:
        """Split into words; punctuation goes with the word it belongs to."""
        pieces = self._whole_characters(tokens)
        if language is None or language.code not in WITHOUT_BLANKS:
            pieces = _join_at_blanks(pieces)
        return _attach_punctuation(pieces)

    def _whole_characters(self, tokens: Sequence[int]) -> list[WordTokens]:
        """The smallest runs of tokens that spell whole characters (a token may end inside one)."""
        pieces: list[WordTokens] = []
        run: list[int] = []
        for token in tokens:
            run.append(token)
            text = self.text(run)
            if REPLACEMENT not in text:
                pieces.append(WordTokens(text, tuple(run)))
                run = []
        if run:
            pieces.append(WordTokens(self.text(run).replace(REPLACEMENT, ""), tuple(run)))
        return pieces


def _join_at_blanks(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    words: list[WordTokens] = []
    for piece in pieces:
        if words and not piece.text.startswith(" "):
            words[-1] = _concatenated(words[-1], piece)
        else:
            words.append(piece)
    return words


def _attach_punctuation(words: Sequence[WordTokens]) -> list[WordTokens]:
    """Opening marks go to the next word, closing marks to the one before."""
    attached: list[WordTokens] = []
    opening: WordTokens | None = None
    for word in words:
        mark = word.text.strip()
        current = _concatenated(opening, word) if opening else word
        opening = None
        if attached and mark and all(c in CLOSING for c in mark) and current is word:
            attached[-1] = _concatenated(attached[-1], word)
        elif mark and word.text.startswith(" ") and all(c in OPENING for c in mark):
            opening = current
        else:
            attached.append(current)
    if opening:
        attached.append(opening)
    return attached


def _concatenated(first: WordTokens, second: WordTokens) -> WordTokens:
    return WordTokens(first.text + second.text, first.tokens + second.tokens)
