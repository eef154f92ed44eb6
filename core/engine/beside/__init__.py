"""What stands beside a model that is trained: itself as one that answers, models on its base, its reference."""
