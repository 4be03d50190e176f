"""The seven emotions and the three splits in FER2013's order and spelling, the kinds of TTA, the
face detectors."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SPLITS = ("Training", "PublicTest", "PrivateTest")
FACE_SIZE = 48  # pixels along each side of a grey face
VIEWS = {  # kind of test-time augmentation -> the views of a face that are averaged
    "flip": "2 views: the face and its mirror image",
    "10": "10 views: the face and its shifts by 2 pixels up, down, left and right, "
    "each with its mirror image",
}
DETECTORS = {  # name -> what it finds; the first is the default
    "blazeface": "faces that are turned or in profile, too",
    "cascade": "OpenCV's cascade: upright frontal faces",
}
