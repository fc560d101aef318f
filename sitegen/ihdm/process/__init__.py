"""The mathematics: heat, noise, the model, and the reverse processes of IHDM, DDPM and DDIM."""
