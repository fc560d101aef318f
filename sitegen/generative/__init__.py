"""The model library: model cards, networks, checkpoints, processes and training.

Of sitegen it imports `core` alone: no site, figure or page. `sitegen.ihdm` is its public façade.
"""

__all__ = ["card", "checkpoints", "data", "engine", "networks", "process", "training"]
