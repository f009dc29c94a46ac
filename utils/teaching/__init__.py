"""Knowledge distillation: a trained network teaches the one in training."""
