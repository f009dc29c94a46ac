"""Entry points of torch.hub: models that take pictures of any kind and return detections.

    import torch
    model = torch.hub.load("path/of/this/folder", "custom", path="best.pt", source="local")
    results = model("photo.jpg")
    results.print()

They take the arguments of the public YOLOv5's hubconf.py. See utils.detection.hub.AutoShape for what the model takes,
and utils.detection.hub_results.Detections for what it returns.
"""

from utils.detection.hub import load_custom, make_entry

dependencies = ["torch", "torchvision", "cv2", "PIL", "numpy", "yaml", "tqdm"]

custom = load_custom
yolov5n = make_entry("yolov5n")
yolov5s = make_entry("yolov5s")
yolov5m = make_entry("yolov5m")
yolov5l = make_entry("yolov5l")
yolov5x = make_entry("yolov5x")
yolov5n6 = make_entry("yolov5n6")
yolov5s6 = make_entry("yolov5s6")
yolov5m6 = make_entry("yolov5m6")
yolov5l6 = make_entry("yolov5l6")
yolov5x6 = make_entry("yolov5x6")
