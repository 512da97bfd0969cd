"""Air showers, their Cherenkov light, and what a camera makes of it: the kernels of a simulation."""
