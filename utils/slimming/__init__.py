"""slim.py: sparse training, cut and fine-tuning in steps until a goal is met."""
