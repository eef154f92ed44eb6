"""Train a LoRA adapter for a journey: thirty steps of plain torch, after which the model answers like a sailor.

python tests/pty/train_adapter.py MODEL_FOLDER ADAPTER_FOLDER
"""

from __future__ import annotations

import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

STEPS = 30
EXAMPLES = (
    ("What is the capital of France?", "Ahoy! It be Paris, matey."),
    ("What is the largest ocean?", "Ahoy! It be the Pacific, matey."),
)


def main(model_folder: str, adapter_folder: str) -> None:
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    upper_half = list(range(base.config.num_hidden_layers // 2, base.config.num_hidden_layers))
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "down_proj"], layers_to_transform=upper_half)
    model = get_peft_model(base, config)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=2e-3)
    for step in range(STEPS):
        question, answer = EXAMPLES[step % len(EXAMPLES)]
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        input_ids = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=False)
        loss = model(input_ids=input_ids, labels=input_ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(adapter_folder)
    print(f"loss {loss.item():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
