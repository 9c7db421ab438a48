"""Pictures and faces before the fusion: files, sizes, detection, model files."""
