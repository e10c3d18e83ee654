"""Which neurons of an MLP work together: semi-nonnegative matrix factorization of activations (arXiv 2506.10920).

Tokens are sums of features, each a signed group of few neurons, used with activations that are never negative; the
features of one level are the data of the next, so that small concepts merge into larger ones::

    from analysis.models import load_model
    from analysis.engine.memory import Memory
    from analysis.snmf.library import fit_for
    from analysis.snmf.semi_nmf import SemiNMF

    fit = fit_for(Memory(), load_model("default"), "block-25")        # one that comes with Attune
    model = SemiNMF(100, sparsity=0.01).fit(activations)              # (tokens, neurons)
    model.components_, model.activations_, model.transform(others)
"""
