"""The ResNet, its training step and its learning rate."""
