"""What the removed channels leave to do in the layers that read them."""
