"""Train a detector: python train.py --weights yolov5n.pt --data data.yaml --imgsz 320 --batch-size 16 --epochs 60."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.training.options:TrainOptions", "utils.training.train:train", "Train a YOLOv5 detector.")
