"""The model card: what a frozen policy is, made from its ``card.json``."""

from __future__ import annotations

from collections.abc import Sequence
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
            f"| algorithm | {card['algorithm']} (stable-baselines3, sb3-contrib), "
            "after imitation of a rule |"
        ),
        (
            f"| preference w | {card['preference_range'][0]} (lean) to "
            f"{card['preference_range'][1]} (fast) |"
        ),
        f"| queue discipline | {card['discipline']} |",
        *([] if "parts" in training else _origin(training)),
        f"| git revision | {training['git_revision'] or 'unknown'} |",
        f"| schema | {card['schema']['sha256']} |",
        "",
        "## Figures",
        "",
        evaluation["about"],
        "",
    ]
    lines += _table(evaluation["cost_ratio"])
    for part in training.get("parts", ()):
        low, high = part["preferences"]
        lines += [
            "",
            f"## In charge from w = {low:g} to {high:g}: {part['name']}",
            "",
            "| | |",
            "| --- | --- |",
            *_origin(part),
            f"| git revision | {part['git_revision'] or 'unknown'} |",
            f"| sha256 of its checkpoint | `{part['checkpoint_sha256']}` |",
        ]
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
        *_settings(training.get("parts", [training])),
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


def _origin(training: dict[str, Any]) -> list[str]:
    """Rows that tell how much a policy has learned."""
    return [
        f"| rounds of improvement on branches, refits counted | {training['rounds']} |",
        f"| decisions of PPO | {training['steps']:,} |",
        f"| seed | {training['seed']} |",
    ]


def _settings(trainings: Sequence[dict[str, Any]]) -> list[str]:
    """The configuration by key (rows), a column for each training."""
    keys = list(dict.fromkeys(key for training in trainings for key in training["settings"]))
    names = [training.get("name", "value") for training in trainings]
    return [
        "| key | " + " | ".join(names) + " |",
        "| --- |" + " --- |" * len(names),
        *[
            f"| `{key}` | "
            + " | ".join(str(training["settings"].get(key, "")) for training in trainings)
            + " |"
            for key in keys
        ],
    ]


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
