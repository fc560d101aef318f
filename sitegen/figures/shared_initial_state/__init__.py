"""The kind `shared_initial_state`: many samples that begin from one flat state."""
