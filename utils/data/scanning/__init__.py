"""Looking through the images and labels of a split."""
