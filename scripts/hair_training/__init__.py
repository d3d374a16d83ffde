"""Parts of scripts/train_hair_segmenter.py."""
