"""Boxes: geometry, anchors, the training loss, metrics."""
