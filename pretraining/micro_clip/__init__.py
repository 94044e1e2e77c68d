"""The embedded micro CLIP: a small open_clip model trained on pictures with texts and masks."""
