"""Whisper's token alphabet: special tokens, prompts, text, and words out of tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stretto.contexts.core.errors import EngineUnavailable
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


def _byte_alphabet() -> dict[str, int]:
    """How tokens spell bytes (Radford et al. 2019, ``bytes_to_unicode``): those that can be seen
    stand for themselves, the others for the characters from U+0100 on."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unseen = [byte for byte in range(0x100) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {
        chr(0x100 + number): byte for number, byte in enumerate(unseen)
    }


_BYTES: Final = _byte_alphabet()


@dataclass(frozen=True, slots=True)
class WordTokens:
    """One word as it is written, with the blank before it, and the tokens that spell it."""

    text: str
    tokens: tuple[int, ...]


class Vocabulary:
    """The tokens of one model folder, from ``vocabulary.json`` or ``vocabulary.txt``.

    To make tokens of a text takes ``tokenizer.json``, which is read when somebody gives a prompt.
    Raises EngineUnavailable for a folder whose files cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tokens = _tokens(folder)
        self._special = {
            token: number for number, token in enumerate(self._tokens) if token.startswith("<|")
        }
        self.end_of_text = self._id("<|endoftext|>")
        spelled = set("".join(self._tokens[: max(0, self.end_of_text)]))
        if not spelled or not spelled <= _BYTES.keys():
            raise _unreadable(folder, "it is not one of Whisper")
        self.start_token = self._id("<|startoftranscript|>")
        self.no_speech_token = max(self._id("<|nospeech|>"), self._id("<|nocaptions|>"))
        self._no_timestamps = self._id("<|notimestamps|>")
        self._previous = self._id("<|startofprev|>")

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    @property
    def languages(self) -> dict[str, int]:
        """The token of each of Whisper's language codes: they stand together behind the start."""
        found = {}
        for token in range(self.start_token + 1, self._id("<|translate|>")):
            found[self._tokens[token].strip("<|>")] = token
        return found

    def _id(self, token: str) -> int:
        return self._special.get(token, -1)

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
        """What the text tokens among them spell; broken characters become U+FFFD."""
        spelled = "".join(self._tokens[token] for token in self.text_tokens(tokens))
        return bytes(map(_BYTES.__getitem__, spelled)).decode("utf-8", "replace")

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


def _tokens(folder: Path) -> list[str]:
    """Each token by its number."""
    listed, lines = folder / "vocabulary.json", folder / "vocabulary.txt"
    try:
        if not listed.exists():
            return lines.read_text("utf-8").removesuffix("\n").split("\n")
        found = json.loads(listed.read_text("utf-8"))
        if not isinstance(found, list) or not all(isinstance(token, str) for token in found):
            raise ValueError("it is no list of tokens")
    except (OSError, ValueError) as cause:
        raise _unreadable(folder, str(cause)) from cause
    return found


def _unreadable(folder: Path, why: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"The vocabulary of the model in {folder} cannot be read ({why}); install it again."
    )


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
