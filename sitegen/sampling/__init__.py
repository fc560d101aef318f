"""Models of the site loaded on a device, their samples, and the output of `sitegen sample`.

It may import core, the model, media and the site's models. Outside `ihdm`, torch is imported only
here, in the modules shared by the samplers of several kinds of figures, in their `sample`, and to
train.
"""
