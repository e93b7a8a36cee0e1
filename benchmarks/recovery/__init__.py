"""How soon and how well cvq comes back: one figure for each way in which things end."""
