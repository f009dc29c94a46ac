# docker build -t yolov5-slim . && docker run --rm -v "$PWD/runs:/app/runs" yolov5-slim
# For a GPU: docker build --build-arg BASE=pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime -t yolov5-slim . and docker run --gpus all …
ARG BASE=python:3.11-slim
FROM ${BASE}
# The wheels of PyTorch for the CPU are a tenth of those for CUDA; a base that brings PyTorch keeps its own.
RUN python -c "import torch" 2>/dev/null \
    || pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.10" torchvision
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
CMD ["python", "demo.py"]
