"""One page per module or folder: its layout and its callbacks. Thin: what they show comes from components."""
