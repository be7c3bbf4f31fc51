"""Whisper on this machine: small models computed here, large ones and graphics cards through
CTranslate2.

The files follow the audio: features; a runtime, which is either ``native`` (weights, encoder,
decoder, beam_search, alignment) or ``ctranslate``; decoding (with quality, timing and vocabulary);
and the engine that drives them.
"""

from __future__ import annotations

from stretto.contexts.processing.ports import Engine, EngineConfiguration


def create(configuration: EngineConfiguration) -> Engine:
    """The entry point ``whisper`` of the group ``stretto.engines``. Loads no model yet.

    Raises EngineUnavailable when packages are missing and UnknownModel for a wrong name.
    """
    from stretto.contexts.processing.adapters.models import ModelLibrary
    from stretto.contexts.processing.adapters.whisper import runtime
    from stretto.contexts.processing.adapters.whisper.identity import WhisperIdentity
    from stretto.contexts.processing.adapters.whisper.later import LaterEngine
    from stretto.contexts.processing.adapters.whisper.loading import load

    runtime.require_packages()
    library = ModelLibrary(configuration.models_path, offline=configuration.offline)
    folder = library.resolve(configuration.model or library.default_name())
    lazy = runtime.LazyRuntime(
        folder.path,
        device=configuration.device,
        compute_type=configuration.compute_type,
        workers=configuration.workers,
        load=load,
    )
    version = runtime.engine_version()
    known = WhisperIdentity(
        lazy, model=folder.name, revision=lambda: library.revision(folder), version=version
    )

    def make() -> Engine:
        from stretto.contexts.processing.adapters.whisper.engine import WhisperEngine

        return WhisperEngine(
            lazy,
            model=folder.name,
            revision=lambda: known.identity.model_revision,
            version=version,
            cache=configuration.cache,
        )

    return LaterEngine(known, make=make)
