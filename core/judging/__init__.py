"""Preference pairs: two answers to each prompt are drawn, judged blind or by a reward model, and become a data set."""
