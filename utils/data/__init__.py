"""Images and labels: data yamls, reading, augmentation, batches, sources of detection."""
