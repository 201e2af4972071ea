"""Making bundles: from a trained network to a folder that predicts anywhere.

The ONNX graph is exported from the same weights and must give the same logits before the bundle is called whole.
"""

from einthoven.bundling.graph import export_onnx, without_traces
from einthoven.bundling.saving import add_novelty, save_bundle, synthetic_probe, update_bundle

__all__ = ["add_novelty", "export_onnx", "save_bundle", "synthetic_probe", "update_bundle", "without_traces"]
