"""Activations of a model on texts: collected once, kept on disk, read back in batches.

``collect`` runs the model and fills an ``ActivationStore``; every method that learns from activations reads from one.
"""
