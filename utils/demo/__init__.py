"""demo.py: the whole loop on drawn images."""
