"""The ways in which data sets are written: label files, Pascal VOC xml, COCO json, lists of images, folder layouts."""
