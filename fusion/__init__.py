"""The fusion itself: requests, fields, engines, compositing, the pipeline."""
