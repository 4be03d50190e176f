"""The seven emotions and the three splits, in FER2013's order and spelling."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SPLITS = ("Training", "PublicTest", "PrivateTest")
FACE_SIZE = 48  # pixels along each side of a grey face
