"""What a neuron's weight vector is made of, read off its weights alone: vocabulary channels (ROTATE, arXiv 2604.06005).

A channel is a vector near the neuron, of the same length, whose projection on the vocabulary has a heavy tail: a few
tokens that belong together. Since such vectors lie near random vectors too, nothing is said here of a channel without
its place among the channels of random vectors::

    from analysis.models import load_model
    from analysis.rotate.channels import VocabularyChannels
    from analysis.rotate.vectors import NeuronVectors

    vectors = NeuronVectors(load_model("default"))
    found = VocabularyChannels(n_channels=3).fit(vectors.vectors(27, "down")[[1341]], vectors.projection(27))
    found.top_[0, 0], found.cosine_[0, 0], found.own_z_[0, 0]
"""
