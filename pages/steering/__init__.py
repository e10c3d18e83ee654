"""The Steering page: regions of a model's activations, sliders, and what the model says then."""
