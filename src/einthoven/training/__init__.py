"""From a recipe to trained weights: configuration, batches, optimiser, the loop, checkpoints."""

from einthoven.training.recipe import Recipe, load_recipe, parse_recipe

__all__ = ["Recipe", "load_recipe", "parse_recipe"]
