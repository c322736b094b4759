"""How the learned refiner of the matting core was made; see the README one folder up."""
