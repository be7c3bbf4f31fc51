"""Loads the runtime that a device asks for."""

from __future__ import annotations

from pathlib import Path

from stretto.contexts.processing.adapters.whisper.runtime import NATIVE, Device, Runtime


def load(folder: Path, device: Device) -> Runtime:
    """Raises EngineUnavailable for a folder without a usable model."""
    if device.runtime == NATIVE:
        from stretto.contexts.processing.adapters.whisper.native import NativeRuntime

        return NativeRuntime(folder)
    from stretto.contexts.processing.adapters.whisper.ctranslate import CTranslateRuntime

    return CTranslateRuntime(folder, device)
