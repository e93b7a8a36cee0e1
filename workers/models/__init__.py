"""One file per model; what several of them share stands beside them."""
