"""Run all benchmarks and print their figures."""

from __future__ import annotations

from benchmarks import (
    batch,
    clicks,
    contrast_cost,
    faithfulness_passes,
    findings,
    loading_proof,
    mfa_density,
    mfa_fit,
    othello_clicks,
    othello_games,
    probe_fit,
    rotate_channels,
    snmf_fit,
    steering_cost,
    token_heads,
)


def main() -> None:
    """Each benchmark's name, then its figures."""
    found = {
        **contrast_cost.main(),
        **token_heads.main(),
        "clicks on the server": clicks.run(),
        **mfa_density.main(),
        **steering_cost.main(),
        "texts in a batch": batch.main(),
        **mfa_fit.main(),
        **othello_games.main(),
        **othello_clicks.main(),
        **probe_fit.main(),
        **rotate_channels.main(),
        **snmf_fit.main(),
        **faithfulness_passes.main(),
        **loading_proof.main(),
        **findings.main(),
    }
    for name, facts in found.items():
        print(f"\n{name}")
        for what, value in facts.items():
            print(f"  {what}: {value:.4g}" if isinstance(value, float) else f"  {what}: {value}")


if __name__ == "__main__":
    main()
