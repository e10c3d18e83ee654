"""The Faithfulness page: one chain read closely, and whether measures tell faithful chains from others."""
