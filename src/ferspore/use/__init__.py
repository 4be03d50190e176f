"""The trained model on photographs."""
