"""What a page is made of. Knows plotly and Dash; never torch, never a model."""
