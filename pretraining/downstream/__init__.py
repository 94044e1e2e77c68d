"""What pretrained encoders are for: detection, multi-task models, classification."""
