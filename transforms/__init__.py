"""alphabeam's transforms: everything that another Beam pipeline may import."""
