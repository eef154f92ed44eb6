"""A move of the optimiser in a real run, against PPO written out with transformers, PEFT and autograd alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from ppo_runs import metric, ppo, reward_file
from torch import Tensor
from tuning_base import tunable

from core.engine.ppo.learning import Learner
from core.engine.ppo.lesson import Lesson
from core.engine.training.descent import Descent
from core.engine.tuning.headed import with_head
from core.workspace import Workspace

T, CLIP, CLIP_VALUE, VALUE_COEF, ENTROPY_COEF, GAMMA, LAMBDA, KL_COEF = 0.8, 0.1, 0.05, 0.7, 0.02, 0.9, 0.8, 0.3
OPTIONS: dict[str, Any] = {
    "temperature": T,
    "ppo_clip_range": CLIP,
    "ppo_clip_range_value": CLIP_VALUE,
    "ppo_value_coef": VALUE_COEF,
    "ppo_entropy_coef": ENTROPY_COEF,
    "ppo_gamma": GAMMA,
    "ppo_lambda": LAMBDA,
    "ppo_kl_coef": KL_COEF,
    "ppo_adaptive_kl": False,
    "ppo_horizon": 16.0,
    "ppo_epochs": 3,
    "ppo_buffer_size": 1,
    "gradient_accumulation_steps": 4,  # of 2: all answers of a step make one minibatch
    "max_steps": 2,
    "max_grad_norm": 1e9,
    "learning_rate": 2e-2,
    "ppo_value_learning_rate": 5e-2,
    "lr_scheduler_type": "constant",
    "lora_rank": 4,
}


def worth(lesson: Lesson) -> tuple[Tensor, Tensor]:
    """Advantages, whitened, and returns of all tokens, by the definitions."""
    opinions, lengths = lesson.experience.opinions, lesson.experience.lengths
    advantages: list[float] = []
    parts = [
        torch.split(one.double(), lengths) for one in (opinions.log_probabilities, opinions.reference, opinions.values)
    ]
    for own, reference, values, score in zip(*parts, lesson.experience.scores, strict=True):
        rewards = (-KL_COEF * (own - reference)).tolist()
        rewards[-1] += score
        following = [*values.tolist()[1:], 0.0]
        surprises = [r + GAMMA * after - v for r, after, v in zip(rewards, following, values.tolist(), strict=True)]
        count = len(surprises)
        advantages += [sum((GAMMA * LAMBDA) ** k * surprises[t + k] for k in range(count - t)) for t in range(count)]
    found = torch.tensor(advantages, dtype=torch.float64)
    return (found - found.mean()) / found.std(), found + opinions.values.double()


def written_out(policy: Any, lesson: Lesson) -> Tensor:
    """The loss of all answers, each read by itself."""
    advantages, returns = worth(lesson)
    opinions, lengths = lesson.experience.opinions, lesson.experience.lengths
    then = [torch.split(one, lengths) for one in (opinions.log_probabilities, opinions.values, advantages, returns)]
    total = torch.zeros(())
    for answer, old, old_values, gains, wanted in zip(lesson.experience.answers, *then, strict=True):
        ids = torch.tensor([[*answer.prompt_ids, *answer.answer_ids]])
        states = policy.network.model(input_ids=ids, use_cache=False).last_hidden_state[0]
        states = states[len(answer.prompt_ids) - 1 : -1]
        logs = (policy.network.lm_head(states) / T).log_softmax(-1)
        own = logs.gather(1, torch.tensor(answer.answer_ids)[:, None])[:, 0]
        values = states @ policy.head.weight[0] + policy.head.bias
        ratio = (own - old).exp()
        total = total - torch.minimum(ratio * gains, ratio.clamp(1 - CLIP, 1 + CLIP) * gains).sum()
        near = torch.minimum(torch.maximum(values, old_values - CLIP_VALUE), old_values + CLIP_VALUE)
        total = total + VALUE_COEF * 0.5 * torch.maximum((values - wanted) ** 2, (near - wanted) ** 2).sum()
        total = total - ENTROPY_COEF * -(logs.exp() * logs).sum()
    return total / sum(lengths)


def test_the_weights_move_along_the_gradient_of_the_loss_as_it_is_defined(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward_file(workspace)
    lessons, moves = list[Lesson](), list[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]]()
    learn, move = Learner.learn, Descent.move

    def learnt(self: Learner, lesson: Lesson, *rest: Any) -> Any:
        lessons.append(lesson)
        return learn(self, lesson, *rest)

    def moved(self: Descent) -> bool:
        trained = self.work.tunable.trained
        gradients = {name: one.grad.clone() for name, one in trained.items() if one.grad is not None}
        moves.append((self.work.tunable.state(), gradients))
        return move(self)

    monkeypatch.setattr(Learner, "learn", learnt)
    monkeypatch.setattr(Descent, "move", moved)
    trained = ppo(workspace, "written-out", "dense", **OPTIONS)
    assert len(moves) == 2 * 3
    assert metric(trained, "kl_coef") == [KL_COEF] * 2  # fixed
    head = moves[1][0]["v_head.summary.bias"]
    assert float(head.abs()) == pytest.approx(5e-2, rel=1e-3)  # Adam's first step is as long as its learning rate

    inner: Any = tunable(workspace.models / "tiny", lora_rank=4)
    policy = with_head(inner, inner.base)
    for lesson, (state, gradients) in ((lessons[0], moves[0]), (lessons[1], moves[-1])):
        policy.restore(state)
        wanted = torch.autograd.grad(written_out(policy, lesson), list(policy.trained.values()))
        assert gradients.keys() == policy.trained.keys()
        for name, expected in zip(policy.trained, wanted, strict=True):
            torch.testing.assert_close(
                gradients[name], expected, rtol=2e-3, atol=2e-5 * float(expected.abs().max()) + 1e-7
            )
    assert 0.05 < metric(trained, "clip_fraction")[1] < 1.0  # what is clipped was among it
