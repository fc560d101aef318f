"""A model of the site, loaded on a device, and what is drawn from it; what `sitegen sample` writes.

It may know core, the model, media and the site's models. Outside `ihdm`, torch is imported here, in
what the samplers of several kinds of figures share, in their `sample`, and to train.
"""
