"""The Findings page: boards, what stands on them, and what becomes of them."""
