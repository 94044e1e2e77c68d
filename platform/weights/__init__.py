"""Model weights from one source string, for example ``embedded:micro-clip`` or ``path:DIR``."""

from millsight.platform.weights.building import build_model
from millsight.platform.weights.loaded import LoadedWeights, hash_tensors
from millsight.platform.weights.sources import load_weights

__all__ = ["LoadedWeights", "build_model", "hash_tensors", "load_weights"]
