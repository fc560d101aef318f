"""The models of a site: which there are, `sitegen add`, new cards, priors, `sitegen train`.

It may know core, the model (`ihdm`) and the config; torch only where a network is run.
"""
