"""Findings: what somebody pinned, said of it, and can hand over. Knows ViewRefs and answers, no method and no Dash."""
