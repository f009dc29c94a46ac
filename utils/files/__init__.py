"""Files: names, safe reading, atomic writing, downloads."""
