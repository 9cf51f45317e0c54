"""The model card: what a frozen policy is, made from its ``card.json``."""

from __future__ import annotations

from typing import Any


def model_card(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    training, evaluation = card["training"], card["evaluation"]
    lines = [
        f"# {card['name']}",
        "",
        (
            "A frozen autoscaling policy of DaCirco: it watches the cluster and orders to spawn a "
            "worker of a flavor, to keep, or to kill an idle one. One file serves every preference "
            "between the data-centre director (lean) and DaCirco's manager (fast)."
        ),
        "",
        "| | |",
        "| --- | --- |",
        (
            "| algorithm | imitation of rules (DAgger), policy iteration on vine rollouts"
            + (f", then {card['algorithm']}" if training["steps"] else "")
            + f"; a network of sb3-contrib's {card['algorithm']} |"
        ),
        (
            f"| preference w | {card['preference_range'][0]} (lean) to "
            f"{card['preference_range'][1]} (fast) |"
        ),
        f"| queue discipline | {card['discipline']} |",
        f"| policy-iteration steps on vine rollouts | {training['rounds']} |",
        f"| decisions of PPO | {training['steps']:,} |",
        f"| seed | {training['seed']} |",
        f"| git revision | {training['git_revision'] or 'unknown'} |",
        f"| schema | {card['schema']['sha256']} |",
        "",
        "## Figures",
        "",
        evaluation["about"],
        "",
    ]
    lines += _table(evaluation["cost_ratio"])
    lines += [
        "",
        "## Use",
        "",
        "```",
        f"python -m training.evaluate --policy models/{card['name']}",
        "```",
        "",
        (
            "`policy.onnx` takes observations (n, features) and gives logits (n, actions); the "
            "normalisation is inside, the action mask is applied by `agents.frozen`. `policy.zip` "
            "is for further training only: it is pickled, load none that you did not make."
        ),
        "",
        "## Actions",
        "",
        *[f"{i}. {name}" for i, name in enumerate(card["schema"]["actions"])],
        "",
        "## Observation and the envelope seen in training",
        "",
        "| feature | least | greatest | meaning |",
        "| --- | --- | --- | --- |",
    ]
    envelope = card["observation_envelope"]
    for feature, low, high in zip(
        card["schema"]["observation"], envelope["low"], envelope["high"], strict=True
    ):
        lines.append(
            f"| `{feature['name']}` | {low:.3g} | {high:.3g} | "
            f"{feature['meaning'].replace('|', chr(92) + '|')} |"
        )
    lines += [
        "",
        "## Training configuration",
        "",
        "| key | value |",
        "| --- | --- |",
        *[f"| `{key}` | {value} |" for key, value in training["settings"].items()],
        "",
        "## Files",
        "",
        "| file | bytes | sha256 |",
        "| --- | --- | --- |",
        *[
            f"| `{name}` | {entry['bytes']:,} | `{entry['sha256']}` |"
            for name, entry in card["files"].items()
        ],
        "",
    ]
    return "\n".join(lines)


def _table(ratios: dict[str, dict[str, float]]) -> list[str]:
    """Cost ratios by rival (rows) and preference (columns)."""
    columns = list(next(iter(ratios.values())))
    return [
        "| cost per job relative to | " + " | ".join(columns) + " |",
        "| --- |" + " --- |" * len(columns),
        *[
            f"| {rival} | " + " | ".join(f"{by[column]:.3f}" for column in columns) + " |"
            for rival, by in ratios.items()
        ],
    ]
