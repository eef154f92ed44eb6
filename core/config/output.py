"""What a run writes, when it looks at itself, and where it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Also, Section, Shown
from core.config.foreign import WRITING
from core.errors import Problem
from core.i18n import _

When = Literal["no", "steps", "epoch"]


class OutputOptions(Section):
    """What a run writes, and when it looks at itself."""

    title: ClassVar[str] = "Run"
    elsewhere: ClassVar[Mapping[str, str]] = WRITING

    output_dir: Annotated[str | None, Field(min_length=1), Shown("NAME")] = None
    """The run's folder: a bare name lies in runs/, a path is taken as it is. Not given: named after method and data."""

    overwrite_output_dir: bool = False
    """Remove what an earlier run left in the folder."""

    resume_from_checkpoint: Annotated[str | None, Shown("CHECKPOINT")] = None
    """Go on from this checkpoint of the run, or from the newest one with `true`."""

    logging_steps: Annotated[int, Field(ge=1)] = 10
    """Updates between two points of the curves; each is the mean over what lies between."""

    save_strategy: When = "steps"
    """When checkpoints are saved. The end is always saved."""

    save_steps: Annotated[int, Field(ge=1)] = 500
    """Updates between two checkpoints."""

    save_total_limit: Annotated[int | None, Field(ge=1)] = None
    """Keep the newest of this many, and the best one. Not given: all."""

    save_only_model: bool = False
    """Save no optimiser state: smaller checkpoints, from which nothing can be resumed."""

    eval_strategy: Annotated[When | None, Also("evaluation_strategy")] = None
    """When the evaluation rows are looked at. Not given: every eval_steps where there are such rows."""

    eval_steps: Annotated[int | None, Field(ge=1)] = None
    """Updates between two evaluations. Not given: save_steps."""

    load_best_model_at_end: bool = False
    """End with the checkpoint that was best in the evaluations, not with the last."""

    metric_for_best_model: Annotated[str, Field(min_length=1)] = "loss"
    """Which metric of the evaluations tells the best: loss, perplexity, accuracy (of next tokens); in stages rm and dpo
    accuracy (of pairs) and margin; in ppo reward, which counts there when nothing is given."""

    greater_is_better: bool | None = None
    """Whether more is better. Not given: as the metric's name says."""

    early_stopping_steps: Annotated[int | None, Field(ge=1), Also("early_stopping_patience")] = None
    """Patience, counted in evaluations: stop after this many without a better one."""

    early_stopping_threshold: Annotated[float, Field(ge=0)] = 0.0
    """What counts as better has to be better by this much."""

    probe_prompt: Annotated[tuple[str, ...], Also("probe_prompts"), Shown("TEXT")] = ()
    """A question that is answered at each evaluation, to see what is learnt and what is forgotten. Give the option
    once for each. Without any: the first questions of the data."""

    probe_max_new_tokens: Annotated[int, Field(ge=0)] = 48
    """The longest answer to a probe, in tokens. 0: no probes."""

    plot_loss: bool = True
    """Write training_loss.png, training_eval_loss.png, and a picture of what else the stage is watched by
    (training_reward.png) at the end."""

    report_to: Literal["none", "all", "wandb", "tensorboard", "swanlab", "mlflow", "trackio", "neptune"] = "none"
    """Curves are written to the run's folder and shown by finetui; others than none are refused."""

    def conflicts(self) -> Iterator[Problem]:
        if self.report_to not in ("none", "all"):
            what = _("finetui sends nothing to {name}").format(name=self.report_to)
            yield Problem("report_to", what, _("give none; trainer_log.jsonl has every point"))
        if self.load_best_model_at_end and self.eval_strategy == "no":
            what = _("needs evaluations, and eval_strategy says no")
            yield Problem("load_best_model_at_end", what, _("leave eval_strategy out"))
        if self.early_stopping_steps and self.eval_strategy == "no":
            what = _("counts evaluations, and eval_strategy says no")
            yield Problem("early_stopping_steps", what, _("leave eval_strategy out"))
        if self.save_only_model and self.load_best_model_at_end is False and self.resume_from_checkpoint:
            what = _("leaves no state to resume from")
            yield Problem("save_only_model", what, _("leave it out"))


class LaunchOptions(Section):
    """Where it runs."""

    title: ClassVar[str] = "Launch"

    nproc_per_node: Annotated[int, Field(ge=1), Also("num_processes")] = 1
    """Processes on this machine that share the rows of every batch, one for each device."""

    ddp_timeout: Annotated[int, Field(ge=1)] = 1800
    """Seconds that processes wait for one another."""

    strict: bool = False
    """Refuse what this machine cannot do as asked (fp16 on a CPU), where else a warning is recorded."""
