"""What pictures call a method; these words are part of the key of figures that draw them."""

IHDM, DDPM, DDIM, FLOW, EDM = "IHDM", "DDPM", "DDIM", "Flow", "EDM"
CONSISTENCY, SCORE_SDE, COLD, BLURRING = (
    "Consistency",
    "Score SDE",
    "Cold diffusion",
    "Blurring diffusion",
)
SAMPLER, RECORDED = "Sampler", "Recorded"
