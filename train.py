"""Train a detector: python train.py --weights yolov5n.pt --data data.yaml --imgsz 320 --batch-size 16 --epochs 60."""

from utils.cli.options import run
from utils.training.train import TrainOptions, train

if __name__ == "__main__":
    run(TrainOptions, train, "Train a YOLOv5 detector.")
