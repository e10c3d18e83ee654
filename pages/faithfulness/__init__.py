"""The Faithfulness page: one chain read closely, and whether any measure tells a faithful one from an unfaithful one."""
