"""The clairvoyant lower bound on cost, its proof, and how far it lies below the optimum."""
