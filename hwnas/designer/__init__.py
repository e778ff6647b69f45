"""Designer: from a folder of images and a budget in ms to measured model files."""
