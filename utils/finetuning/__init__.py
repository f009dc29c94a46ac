"""finetune_pruned.py: training after the cut, with a teacher if one is given."""
