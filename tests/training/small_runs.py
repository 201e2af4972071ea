"""Recipes that train in seconds, and a reporter that says nothing."""

from pathlib import Path

from einthoven.training.recipe import Recipe, parse_recipe


class Silent:
    def step(self, epoch, step, n_steps, loss):
        pass

    def epoch(self, row):
        pass


def small_recipe(dataset: Path, *overrides: str) -> Recipe:
    """EMA, one-cycle, augmentation and dropout on, but small enough for seconds."""
    text = f"""
name: small
data: {{dataset: {dataset}}}
model: {{name: resnet1d_wang, options: {{width: 16}}}}
training:
  epochs: 3
  batch_size: 8
  ema: 0.95
  clip_norm: 1.0
  precision: fp32
  threads: 1
  augment:
  - {{name: scale, p: 0.5}}
  - {{name: noise}}
  - {{name: lead_dropout, p: 0.5}}
evaluation: {{n_resamples: 120}}
"""
    return parse_recipe(text, overrides=overrides)
