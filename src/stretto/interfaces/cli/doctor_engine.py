"""The checks of `stretto doctor` that look at engines, models and optional parts."""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path
from typing import Final

from stretto.contexts.core.errors import StrettoError
from stretto.interfaces.cli.doctor_checks import Check, CheckState, Configuration
from stretto.interfaces.cli.models import Library, megabytes

LOCAL_ENGINE: Final = "whisper"
INSTALL_LOCAL: Final = 'pip install "stretto[local]"'
EXTRAS: Final = (
    ("model downloads", "huggingface_hub", INSTALL_LOCAL),
    ("demo recordings", "moonshine_voice", 'pip install "stretto[demo]"'),
)


def check_engine(settings: Configuration) -> Check:
    """For the local engine its packages; any other one only has to be installed."""
    engines = metadata.entry_points(group="stretto.engines").names
    if settings.engine not in engines:
        return Check(
            name="engine",
            state=CheckState.MISSING,
            found=f"there is no engine {settings.engine!r}",
            advice=f"Set STRETTO_ENGINE to one of: {', '.join(sorted(engines))}.",
        )
    if settings.engine != LOCAL_ENGINE:
        return Check(name="engine", state=CheckState.OK, found=settings.engine)
    return _check_local_engine(settings)


def _check_local_engine(settings: Configuration) -> Check:
    for package in ("ctranslate2", "tokenizers", "onnxruntime"):
        if util.find_spec(package) is None:
            return _missing("engine", f"no package {package}", INSTALL_LOCAL)
    try:
        import ctranslate2
        import tokenizers  # noqa: F401
    except (ImportError, OSError) as error:
        advice = f"Reinstall it: {INSTALL_LOCAL} --force-reinstall"
        found = f"cannot be imported: {error}"
        return Check(name="engine", state=CheckState.BROKEN, found=found, advice=advice)
    types = sorted(ctranslate2.get_supported_compute_types("cpu"))
    found = f"whisper, ctranslate2 {ctranslate2.__version__} ({', '.join(types)})"
    wanted = settings.compute_type
    if wanted != "auto" and settings.device == "cpu" and wanted not in types:
        advice = f"This processor cannot compute in {wanted}; set STRETTO_COMPUTE_TYPE=auto."
        return Check(name="engine", state=CheckState.BROKEN, found=found, advice=advice)
    return Check(name="engine", state=CheckState.OK, found=found)


def check_cuda(settings: Configuration) -> Check:
    needed = settings.device == "cuda"
    advice = (
        "Set STRETTO_DEVICE=auto, or install the graphics card's driver, CUDA 12 and cuDNN 9."
        if needed
        else "Not needed: the processor is used."
    )
    if util.find_spec("ctranslate2") is None:
        found = "unknown without ctranslate2"
        return _missing("CUDA", found, advice, needed=needed)
    import ctranslate2

    devices = ctranslate2.get_cuda_device_count()
    if not devices:
        return _missing("CUDA", "no device", advice, needed=needed)
    types = ", ".join(sorted(ctranslate2.get_supported_compute_types("cuda")))
    found = f"{devices} device{'s' if devices > 1 else ''} ({types})"
    return Check(name="CUDA", state=CheckState.OK, found=found, needed=needed)


def check_voice_detection() -> Check:
    """Opens the model, because a file that is there can still be unreadable."""
    name = "voice detection"
    spec = util.find_spec("faster_whisper")
    folders = [
        Path(f) / "assets" for f in (spec.submodule_search_locations if spec else None) or ()
    ]
    model = next((f for folder in folders for f in sorted(folder.glob("silero_vad*.onnx"))), None)
    if model is None or util.find_spec("onnxruntime") is None:
        return _missing(name, "Silero is not installed", INSTALL_LOCAL)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(
            str(model), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no class of their own
        advice = "Reinstall it: pip install --force-reinstall faster-whisper onnxruntime"
        found = f"{model.name} cannot be loaded: {str(error).splitlines()[0][:120]}"
        return Check(name=name, state=CheckState.BROKEN, found=found, advice=advice)
    found = f"{model.stem}, onnxruntime {onnxruntime.__version__}"
    return Check(name=name, state=CheckState.OK, found=found)


def check_model(settings: Configuration, library: Library) -> Check:
    """Whether the model that would be used is here; nothing is downloaded to find out."""
    needed = settings.engine == LOCAL_ENGINE
    try:
        entry = library.describe(settings.model)
    except StrettoError as error:
        advice = "Set STRETTO_MODEL to a name from: stretto models list"
        found = error.message
        return Check(
            name="model", state=CheckState.BROKEN, found=found, advice=advice, needed=needed
        )
    found = f"{entry.name} ({megabytes(entry.size_bytes)})"
    if entry.installed:
        found += f" in {entry.path}" if entry.path else ", put together at the first use"
        return Check(name="model", state=CheckState.OK, found=found, needed=needed)
    advice = f'{entry.hint}; without a network: pip install "stretto[tiny]"'
    return _missing("model", f"{found} is not installed", advice, needed=needed)


def check_installed_models(library: Library) -> Check:
    names = ", ".join(entry.name for entry in library.list() if entry.installed)
    if names:
        return Check(name="models", state=CheckState.OK, found=names, needed=False)
    advice = "stretto models list shows what there is."
    return _missing("models", "none installed", advice, needed=False)


def check_extras(settings: Configuration) -> tuple[Check, ...]:
    """What is nice to have. Packages are looked for, not imported."""
    checks = []
    for name, package, advice in EXTRAS:
        if util.find_spec(package) is None:
            checks.append(_missing(name, f"no package {package}", advice, needed=False))
        else:
            off = settings.offline and package == "huggingface_hub"
            found = "forbidden by STRETTO_OFFLINE" if off else "installed"
            checks.append(Check(name=name, state=CheckState.OK, found=found, needed=False))
    return tuple(checks)


def _missing(name: str, found: str, advice: str, *, needed: bool = True) -> Check:
    return Check(name=name, state=CheckState.MISSING, found=found, advice=advice, needed=needed)
