"""The trained model on photographs and videos."""
