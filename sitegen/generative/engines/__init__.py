"""What evaluates the networks while sampling, and how: chosen once for a loaded model.

On a CPU images go through a network a few at a time, each few on one thread, by ONNX Runtime where
it can be; on a GPU as one captured graph. An engine is called as the network is, and answers the
same to rounding. They know cards, networks and the model, and no file of it.
"""
