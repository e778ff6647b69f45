"""SuperNetworks: one module that holds the weights of a whole SearchSpace."""
