"""How samples of a model are drawn and judged: parts of `bench.quality` and its neighbours."""
