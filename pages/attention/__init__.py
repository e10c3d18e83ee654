"""The Attention page: why did this head attend to that token? Layout in ``page``, one module of callbacks per card."""
