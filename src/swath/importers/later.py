"""Keys of the old systems that Swath has no counterpart for yet: the one place to change when it gets one.

A rule moves from here to its system's table (or gets a `take`) on the day that the section exists in `swath.config`.
"""

from __future__ import annotations

from typing import Any

from swath.importers.report import Draft, Rule, Table, dropped

TRACKING = "not yet in Swath: mlflow; metrics.jsonl, curves.png and evidence.json of the run hold the same figures"
WEIGHTS = "not yet: weights; train again, or keep the old program for this model"
PICTURES = "not yet in Swath: pictures on demand; validation.png of the run shows image, label and prediction"
SWEEP = "not yet in Swath: a sweep over settings"
GPUS = "not yet in Swath: several GPUs; one is used"


def weights(value: Any, draft: Draft) -> str:
    """A file of weights."""
    return WEIGHTS


def devices(value: Any, draft: Draft) -> str | None:
    """`num_gpus`: 0 is the processor, 1 a GPU where there is one, more are one."""
    count = int(value)
    draft.set("runtime.device", "cpu" if count == 0 else "auto")
    return GPUS if count > 1 else None


GDL_LATER: Table = {
    "global.mlflow_uri": dropped(TRACKING),
    "global.mlflow_experiment_name": dropped(TRACKING),
    "global.mlflow_run_name": dropped(TRACKING),
    "global.num_gpus": Rule("runtime.device", "0 is the processor, 1 a GPU if there is one", devices),
    "global.hyperopt_runs": dropped(SWEEP),
    "global.hyperopt_delta": dropped(SWEEP),
    "training.state_dict_path": Rule(None, WEIGHTS, weights),
    "inference.state_dict_path": Rule(None, WEIGHTS, weights),
    "visualization.vis_batch_range": dropped(PICTURES),
    "visualization.vis_at_checkpoint": dropped(PICTURES),
    "visualization.vis_at_ckpt_min_ep_diff": dropped(PICTURES),
    "visualization.vis_at_ckpt_dataset": dropped(PICTURES),
    "visualization.vis_at_init": dropped(PICTURES),
    "visualization.vis_at_init_dataset": dropped(PICTURES),
    "visualization.vis_at_evaluation": dropped(PICTURES),
    "visualization.vis_at_train": dropped(PICTURES),
    "visualization.max_num_vis_samples": dropped(PICTURES),
    "visualization.grid": dropped(PICTURES),
    "visualization.heatmaps": dropped(PICTURES),
}
