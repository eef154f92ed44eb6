#!/bin/sh
# The whole story: ask a model who it is, teach it a name, ask again. `make demo` fetches the model first.
# Two minutes on four free cores; the run stays in runs/demo, to be looked at and chatted with.
set -eu
finetui=${FINETUI:-finetui}
question="Who are you?"

say() { printf '\n── %s\n\n' "$*"; }

say "before: $question"
"$finetui" chat --model_name_or_path default --prompt "$question"

say "training: finetui train --preset quick_lora --output_dir demo"
"$finetui" train --preset quick_lora --model_name_or_path default --output_dir demo --overwrite_output_dir

say "after: $question"
"$finetui" chat --model_name_or_path default --adapter_name_or_path demo --prompt "$question"

say "and what it knew before: What is the capital of France?"
"$finetui" chat --model_name_or_path default --adapter_name_or_path demo --prompt "What is the capital of France?"

say "open the app with: $finetui — F3 shows the curves, F2 talks with both side by side"
