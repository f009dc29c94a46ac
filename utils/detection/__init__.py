"""detect.py and torch.hub: detections in pictures, videos and streams."""
