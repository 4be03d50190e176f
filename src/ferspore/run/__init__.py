"""What a run leaves on the disk and what that means, without MindSpore."""
