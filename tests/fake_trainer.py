"""A trainer in plain Python that starts in 20 ms: tells what a real one would, in the folder that it is given.

    fake_trainer.py RUN_DIR [--resume CHECKPOINT]

What it does stands in the environment: FAKE_STEPS, FAKE_END (finish, fail, kill, wait), FAKE_END_NAME for the run
of that name alone, FAKE_WEIGHTS (a folder whose files it leaves as what was trained). `COMMAND`, as JSON in
FINETUI_TRAINER_COMMAND, has it started instead of the engine.

A run outlives whoever started it, so a test that is killed cannot end it: what waits does so for FAKE_LIFE seconds at
most, and only as long as its run's folder is there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

LIFE = 120.0
COMMAND = [sys.executable, "-S", __file__]


def main() -> None:
    run = Path(sys.argv[1])
    events = (run / "events.jsonl").open("ab", buffering=0)

    def tell(kind: str, **fields: object) -> None:
        events.write(json.dumps({"type": kind, "time": time.time(), **fields}).encode() + b"\n")

    steps, end = int(os.environ.get("FAKE_STEPS", "3")), os.environ.get("FAKE_END", "finish")
    end = os.environ.get(f"FAKE_END_{run.name}", end)
    first = int(sys.argv[3].rpartition("-")[2]) if len(sys.argv) > 3 else 0
    data = {"rows": 12, "tokens": 1200, "trained_tokens": 120, "total_steps": steps, "steps_per_epoch": 1.5}
    tell("data_ready", **data)
    model = {"model": "demo", "method": "lora", "parameters": 135_000_000, "trainable": 460_800}
    tell("model_ready", **model, dtype="float32", device="cpu", choices=["no padding"])
    tell("stage_changed", stage="training")
    config = run / "config.yaml"
    policy = config.exists() and "\nstage: ppo" in config.read_text()
    if policy:
        reference = {"reference": "demo", "is_start": True, "reward": "rules.py:short", "reward_kind": "function"}
        tell("models_beside", **reference)
    for step in range(first + 1, steps + 1):
        point = {"step": step, "total_steps": steps, "epoch": step / 1.5, "loss": 2 / step, "grad_norm": 1.0}
        point |= {"learning_rate": 1e-4, "rows": 8 * step, "tokens": 800 * step, "rows_per_second": 4.0}
        point |= {"tokens_per_second": 400.0, "elapsed": 2.0 * step, "remaining": 2.0 * (steps - step)}
        if policy:
            point["metrics"] = {"reward": float(step), "kl": 0.5 * (step - 1), "entropy": 2.0, "answer_tokens": 30.0}
        tell("step", **point)
        print("step", step, flush=True)
    (run / "checkpoints" / f"step-{steps:06d}").mkdir(parents=True, exist_ok=True)
    if weights := os.environ.get("FAKE_WEIGHTS"):
        for folder in (run, run / "checkpoints" / f"step-{steps:06d}"):
            shutil.copytree(weights, folder, dirs_exist_ok=True)
    tell("checkpoint_saved", step=steps, path=f"checkpoints/step-{steps:06d}", bytes=4096, seconds=0.1)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "fail":
        tell("run_failed", error="the loss is no number", hint="lower the learning_rate", log="loss: nan")
        sys.exit(1)
    last = time.monotonic() + float(os.environ.get("FAKE_LIFE", LIFE))
    while end == "wait" and not (run / "control" / "stop").exists():
        if time.monotonic() > last or not run.exists():
            sys.exit("nobody stopped this fake trainer")
        time.sleep(0.02)
    (run / "training_loss.png").write_bytes(b"\x89PNG")
    metrics = {"epoch": 2.0, "train_loss": 1.25, "train_samples": 12.0, "train_runtime": 6.5}
    (run / "control" / "stop").unlink(missing_ok=True)
    tell("run_finished", reason="stopped" if end == "wait" else "completed", step=steps, metrics=metrics)


if __name__ == "__main__":
    main()
