"""Drawing: boxes on images, charts, pages."""
