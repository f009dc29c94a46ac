"""train_sparsity.py: penalties on gamma, channels that fade."""
