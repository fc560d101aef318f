"""Drawing and judging a model's samples: parts of `bench.quality` and related benchmarks."""
