"""The largest that a detector and the files around it may be.

Files come from strangers. What a file claims is held against these before anything is allocated, and messages say the
limit. Each is several times what the largest public network needs (YOLOv5x6: 141 million parameters, 33 layers).
"""

CLASSES = 10_000
NAME_LENGTH = 1_000  # characters of a class name
ANCHORS = 100  # of one scale
LAYERS = 1_000  # rows after depth_multiple, repeats inside of blocks included
CHANNELS = 65_536  # of one layer
IMAGE_CHANNELS = 64  # of the image
PARAMETERS = 250_000_000  # of a network: 1 GB in float32
KERNEL = 1_024  # side of a kernel, a stride, a padding, a scale factor
CELLS = 64_000_000  # values in one feature map when the strides are measured
TEXT_BYTES = 2_000_000  # of a yaml file, before it is parsed
TEXT_DEPTH = 50  # lists and mappings inside each other
PICKLE_BYTES = 1_200_000  # of what describes the network in a checkpoint; tensors lie beside it
UNPACKED_RATIO = 4  # bytes that a checkpoint may unpack to, for each byte of the file
REPEATED_VALUES = 1_000_000  # that a tensor in a checkpoint may make of fewer: grids of anchors are stored so
INPUT_VALUES = 1 << 30  # of the images that an exported file takes at once
