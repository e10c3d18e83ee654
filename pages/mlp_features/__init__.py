"""The MLP features page: which neurons work together, what they do, and how small concepts merge into larger ones."""
