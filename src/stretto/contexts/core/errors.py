"""One tree of errors. Two questions place a new one: whose fault is it, and does a retry help?

StrettoError
├── InvalidRequest            the caller asked for something that cannot be   (never retry)
│   ├── InvalidIdentifier · InvalidHash · InvalidLanguage · InvalidOption
│   ├── InvalidStatement
│   ├── KeyReused · JobNotInState
│   ├── UnknownEngine · UnknownJob · UnknownModel
│   ├── UnknownTranscript · UnknownAsset · UnknownUpload
│   ├── AddressRefused
│   └── AccessDenied
│       └── AccessKeyRefused
├── UnusableMedia             the file is at fault                            (never retry)
│   ├── MediaNotFound · MediaUnreadable · MediaEmpty
│   ├── MediaNotFetched · MediaTooLarge
│   ├── MediaNotRecognised · MediaRefused · NoAudioStream · AudioTooShort
│   └── MediaNotDecodable
├── Unavailable               this machine cannot do it now                   (a retry may help)
│   ├── EngineUnavailable · StorageFull
│   ├── DecoderUnavailable                                                    (a retry may help)
│   ├── BrokerUnavailable                                                     (retry later)
│   ├── StorageUnavailable
│   │   └── StorageBusy                                                       (retry soon)
│   ├── CDNUnavailable                                                        (retry later)
│   ├── CallbackFailed                                                        (retry later)
│   ├── CDNRefused
│   ├── AssetMissing · AssetDamaged
│   └── OutputNotWritable
├── EngineFailure             an engine gave up on one piece of audio
│   ├── UnusableAnswer
│   └── TransientEngineFailure                                                (retry helps)
├── JobUnreadable             what is stored of a job says nothing here      (never retry)
└── Cancelled                 somebody asked to stop
    └── ClaimLost             somebody else has the job now

The docstring of a class is its message when none is given; messages say what happened, to what,
and what to do. Exit codes and HTTP statuses live in ``interfaces``.
"""

from __future__ import annotations

from typing import ClassVar


class StrettoError(Exception):
    """Something went wrong."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        return str(self.args[0])


class InvalidRequest(StrettoError):
    """The request cannot be carried out as it was made."""


class InvalidIdentifier(InvalidRequest):
    """That is not an id."""


class InvalidHash(InvalidRequest):
    """That is not a SHA-256."""


class InvalidLanguage(InvalidRequest):
    """That is not a language code."""


class InvalidOption(InvalidRequest):
    """An option has a value that is not allowed."""


class InvalidStatement(InvalidRequest):
    """That is not one SQL statement that only reads."""


class KeyReused(InvalidRequest):
    """That idempotency key belongs to another request."""


class JobNotInState(InvalidRequest):
    """The job is not in a state in which that is possible."""


class UnknownJob(InvalidRequest):
    """There is no job of that id."""


class UnknownEngine(InvalidRequest):
    """There is no engine of that name."""


class UnknownModel(InvalidRequest):
    """There is no model of that name."""


class UnknownTranscript(InvalidRequest):
    """There is no transcript of that id."""


class UnknownAsset(InvalidRequest):
    """That was not published."""


class UnknownUpload(InvalidRequest):
    """There is no upload of that id."""


class AccessDenied(InvalidRequest):
    """That is not allowed with this key."""


class AccessKeyRefused(AccessDenied):
    """A key is needed, and this is none that is valid."""


class AddressRefused(InvalidRequest):
    """The address is not one that is called."""


class UnusableMedia(StrettoError):
    """The file cannot be transcribed."""


class MediaNotFound(UnusableMedia):
    """There is no such file."""


class MediaUnreadable(UnusableMedia):
    """The file cannot be read."""


class MediaEmpty(UnusableMedia):
    """The file is empty."""


class MediaNotFetched(UnusableMedia):
    """The recording cannot be fetched from its address."""


class MediaTooLarge(UnusableMedia):
    """The recording is larger than is taken."""


class MediaNotRecognised(UnusableMedia):
    """The file is no audio or video that can be decoded."""


class MediaRefused(UnusableMedia):
    """The file is a playlist or points to other files; such files are never opened."""


class NoAudioStream(UnusableMedia):
    """The file has no audio."""


class AudioTooShort(UnusableMedia):
    """The file holds less than 0.1 seconds of audio."""


class MediaNotDecodable(UnusableMedia):
    """The file makes the decoder crash, hang or take too much; it was stopped."""


class Unavailable(StrettoError):
    """Something that is needed is not available on this machine at the moment."""

    retryable = True


class EngineUnavailable(Unavailable):
    """The engine cannot run on this machine."""

    retryable = False


class DecoderUnavailable(Unavailable):
    """The decoder, a process of its own, cannot be started or was killed."""


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached. Jobs are accepted; workers are called when it is back."""


class StorageUnavailable(Unavailable):
    """The database cannot be used."""


class StorageBusy(StorageUnavailable):
    """The database is busy. Try again in a moment."""


class StorageFull(Unavailable):
    """The disk is full. Free some space and run the same command again: finished work is kept."""


class CDNUnavailable(Unavailable):
    """The CDN cannot be reached. What was to be published waits and is sent later."""


class CDNRefused(Unavailable):
    """The CDN refused what was asked of it; somebody has to set something right."""

    retryable = False


class AssetMissing(Unavailable):
    """It is not in the store any more. Publish it again with stretto cdn publish."""

    retryable = False


class AssetDamaged(Unavailable):
    """What lies in the store is not what was published. Publish it again."""

    retryable = False


class CallbackFailed(Unavailable):
    """Whoever was to be told did not listen."""


class OutputNotWritable(Unavailable):
    """The output cannot be written."""

    retryable = False


class EngineFailure(StrettoError):
    """The engine could not transcribe a piece of the audio."""


class UnusableAnswer(EngineFailure):
    """The speech service answered with something that is no transcript."""


class TransientEngineFailure(EngineFailure):
    """The engine could not transcribe a piece of the audio just now."""

    retryable = True


class JobUnreadable(StrettoError):
    """What is stored of a job cannot be read by this version."""


class Cancelled(StrettoError):
    """Stopped on request. Finished chunks are kept; run the same command to go on."""


class ClaimLost(Cancelled):
    """Another worker has taken the job over; what this one made of it does not count."""
