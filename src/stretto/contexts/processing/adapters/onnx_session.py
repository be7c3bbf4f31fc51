"""Opens a graph in onnxruntime, to be run on the thread that calls it."""

from __future__ import annotations

from typing import Any

from stretto.contexts.core.errors import EngineUnavailable


def opened(model: bytes) -> Any:
    """An onnxruntime.InferenceSession. Raises EngineUnavailable when the graph cannot be run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Windows are worked on side by side already.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as cause:  # onnxruntime's errors share no class of their own
        raise EngineUnavailable(
            f"onnxruntime cannot compute the model ({cause}). "
            'Install it again with: pip install "stretto[local]"'
        ) from cause
    # It keeps the graph to open itself once more elsewhere: as much memory again as the weights.
    session._model_bytes = None
    return session
