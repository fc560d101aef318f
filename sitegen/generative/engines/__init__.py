"""Engines that evaluate the networks during sampling; one is chosen when a model is loaded.

On a CPU, images pass through a network in small chunks, each on one thread, by ONNX Runtime if
possible; on a GPU, as one captured graph. An engine has the signature of the network and returns
the same values up to rounding. Engines depend on cards, networks and the model, not on its files.
"""
