"""Instance normalisation fused with its neighbours, and generators and discriminators that run on it."""
