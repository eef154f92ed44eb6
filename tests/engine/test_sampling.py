"""The next token, against transformers' own processors."""

from __future__ import annotations

import pytest
import torch
from transformers.generation import logits_process as hf

from core.engine.drawing import draw
from core.engine.sampling import Sampler, candidates, check
from core.errors import ModelError, UsageError
from core.serve.protocol import Sampling

CPU = torch.device("cpu")


def random_logits(seed: int = 0, size: int = 200) -> torch.Tensor:
    return 3 * torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.7),
        Sampling(temperature=1.0, top_k=5),
        Sampling(temperature=1.5, top_p=0.8),
        Sampling(temperature=0.9, min_p=0.2),
        Sampling(temperature=1.3, top_k=50, top_p=0.9, min_p=0.05),
        Sampling(temperature=1.0, top_p=0.0001),
    ],
)
def test_the_distribution_is_the_one_of_transformers(sampling: Sampling) -> None:
    logits = random_logits()
    scores, ids = logits[None], torch.tensor([[1]])
    scores = hf.TemperatureLogitsWarper(sampling.temperature)(ids, scores)
    if sampling.top_k:
        scores = hf.TopKLogitsWarper(sampling.top_k)(ids, scores)
    if sampling.top_p < 1:
        scores = hf.TopPLogitsWarper(sampling.top_p)(ids, scores)
    if sampling.min_p:
        scores = hf.MinPLogitsWarper(sampling.min_p)(ids, scores)
    expected = scores.softmax(-1)[0]
    tokens, probabilities = candidates(logits, sampling)
    actual = torch.zeros_like(logits).index_copy(0, tokens, probabilities)
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -50.0])
    sampler = Sampler(Sampling(temperature=1.0, seed=3), (), CPU)
    counts = torch.bincount(torch.tensor([sampler.choose(logits) for _ in range(4000)]), minlength=4) / 4000
    torch.testing.assert_close(counts, logits.softmax(-1), atol=0.03, rtol=0)


@pytest.mark.parametrize("size", [3, 256, 700])
def test_a_batch_of_draws_follows_the_probabilities_and_each_row_is_alone(size: int) -> None:
    logits, count = random_logits(7, size), 20000
    points = torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64).tolist()
    tokens = draw(logits.repeat(count, 1), [0.8] * count, points)
    shares = torch.bincount(torch.tensor(tokens), minlength=size) / count
    expected = (logits / 0.8).softmax(-1)
    error = (expected * (1 - expected) / count).sqrt()
    assert ((shares - expected).abs() < 5 * error + 1e-4).all()
    assert [draw(logits[None].clone(), [0.8], [point])[0] for point in points[:20]] == tokens[:20]
    mixed = draw(torch.stack([random_logits(8, size), logits]), [3.0, 0.8], [0.1, points[0]])
    assert mixed[1] == tokens[0]


def test_a_draw_never_takes_what_has_no_probability() -> None:
    logits = torch.full((1, 600), -torch.inf)
    logits[0, 300] = logits[0, 301] = 0.0
    drawn = {draw(logits.clone(), [1.0], [point])[0] for point in (0.0, 0.3, 0.7, 1 - 2**-53)}
    assert drawn == {300, 301}


def test_rows_without_numbers_are_told_and_the_others_drawn() -> None:
    logits = torch.tensor([[0.0, 9.0], [torch.nan, 1.0], [torch.inf, 1.0]])
    assert draw(logits, [1.0, 1.0, 1.0], [0.5, 0.5, 0.5]) == [1, -1, -1]


def test_repetition_penalty_is_the_one_of_transformers_over_prompt_and_answer() -> None:
    prompt = [3, 7, 7, 11]
    sampler = Sampler(Sampling(repetition_penalty=1.4), prompt, CPU)
    processor = hf.RepetitionPenaltyLogitsProcessor(1.4)
    ids = torch.tensor([prompt])
    for seed in range(6):
        logits = random_logits(seed, 20)
        expected = int(processor(ids, logits[None]).argmax())
        assert sampler.choose(logits) == expected
        ids = torch.cat((ids, torch.tensor([[expected]])), 1)


def test_the_same_seed_draws_the_same_and_another_differs() -> None:
    def answer(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed), (), CPU)
        return [sampler.choose(random_logits(i)) for i in range(12)]

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_temperature_zero_is_greedy_whatever_else_is_set() -> None:
    sampler = Sampler(Sampling(temperature=0.0, top_p=0.5, top_k=3, seed=9), (), CPU)
    assert sampler.choose(random_logits()) == int(random_logits().argmax())


@pytest.mark.parametrize("temperature", [1e-6, 1e-38, 1e-45])
def test_a_tiny_temperature_is_almost_greedy(temperature: float) -> None:
    sampler = Sampler(Sampling(temperature=temperature), (), CPU)
    assert sampler.choose(torch.tensor([1.0, 30.0, 2.0])) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_gives_no_numbers_is_no_answer(temperature: float) -> None:
    sampler = Sampler(Sampling(temperature=temperature, repetition_penalty=1.2), [0], CPU)
    with pytest.raises(ModelError, match="NaN instead of numbers"):
        sampler.choose(torch.tensor([1.0, float("nan"), 2.0]))


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(temperature=-1.0), "temperature is -1.0"),
        (Sampling(top_p=1.5), "top_p is 1.5"),
        (Sampling(max_new_tokens=0), "max_new_tokens is 0"),
        (Sampling(repetition_penalty=0.0), "repetition_penalty is 0.0"),
    ],
)
def test_impossible_values_are_refused_by_name(sampling: Sampling, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(sampling)
