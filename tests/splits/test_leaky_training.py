import shutil

import pytest

from einthoven import workflow
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError
from einthoven.files import read_json
from einthoven.training.recipe import parse_recipe
from einthoven.workflow.splitting import make_split

RECIPE = """
name: leaky
data:
  dataset: {folder}
  folds: {{split: random-beats, train: [1], validation: [2], test: [3]}}
model: {{options: {{width: 8}}}}
training: {{epochs: 1, batch_size: 32, threads: 1, device: cpu}}
evaluation: {{n_resamples: 0}}
"""


class Silent:
    """A reporter that tells nobody."""

    def step(self, *_):
        pass

    def epoch(self, _):
        pass


def test_a_leaky_split_is_trained_on_only_with_its_reason_in_the_report(dataset_folder, tmp_path):
    folder = tmp_path / "dataset"
    shutil.copytree(dataset_folder, folder)
    made = make_split(open_dataset(folder), "random-beats")
    recipe = parse_recipe(RECIPE.format(folder=folder))
    said = []
    run = workflow.train(recipe, tmp_path / "runs", reporter=Silent(), announce=said.append)
    sentence = f"The folds leak by design: {made.about.leaks}."
    assert any("random-beats leaks by design" in each for each in said)
    assert sentence in read_json(run.path / "metrics.json", DatasetError, "a run")["validation"]["caution"]
    assert sentence in (run.path / "report.html").read_text()
    make_split(open_dataset(folder), "kfold", name="random-beats", overwrite=True)
    judged = workflow.evaluate(run.path, split="test", n_resamples=0, announce=said.append)
    assert sentence in judged.judgement["caution"]  # the model remembers what it was trained on
    made.path.with_suffix(".json").unlink()
    rows = open_dataset(folder).records.record_id
    made.path.write_text("record_id,fold\n" + "".join(f"{name},{k % 3 + 1}\n" for k, name in enumerate(rows)))
    with pytest.raises(DatasetError, match="the folds leak patients"):
        workflow.train(recipe, tmp_path / "other")
