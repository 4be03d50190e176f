"""From a FER2013 file to training batches; nothing here imports MindSpore."""
