"""What the processes of a test's cluster have read before they begin."""

import distributed
import torch

import sitegen.builder.pipeline
import sitegen.builder.render
import sitegen.cli.main
import sitegen.media.encoder

__all__ = ["distributed", "sitegen", "torch"]
