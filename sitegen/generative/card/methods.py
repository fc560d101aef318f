"""Names of methods in pictures; they are part of the key of figures that draw them.

With a new name, put the new digest of this group into figures/constants.py: no file changes.
"""

IHDM, DDPM, DDIM, FLOW, EDM = "IHDM", "DDPM", "DDIM", "Flow", "EDM"
CONSISTENCY, SCORE_SDE, COLD, BLURRING = (
    "Consistency",
    "Score SDE",
    "Cold diffusion",
    "Blurring diffusion",
)
SAMPLER, RECORDED = "Sampler", "Recorded"
