"""The kind `shared_noise`: the same noises from different initial states."""
