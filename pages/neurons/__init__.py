"""The Neurons page: what a neuron's weight vector is made of, without data, and what of that is more than chance."""
