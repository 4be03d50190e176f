"""What practice faces are drawn from: (low, high) of everything that differs from face to face.

Expressions are described by facial action units (AU), after Ekman and Friesen, *Facial Action
Coding System* (1978), with the prototypes of their EMFACS (for instance happy = AU6 + AU12).
"""

# Action units: 0 is at rest, 1 the strongest that is drawn.
AT_REST = {
    "inner_brow_raiser": (0.0, 0.12),  # AU1
    "outer_brow_raiser": (0.0, 0.12),  # AU2
    "brow_lowerer": (0.0, 0.12),  # AU4
    "upper_lid_raiser": (0.0, 0.12),  # AU5
    "cheek_raiser": (0.0, 0.12),  # AU6
    "lid_tightener": (0.0, 0.12),  # AU7
    "nose_wrinkler": (0.0, 0.12),  # AU9
    "upper_lip_raiser": (0.0, 0.12),  # AU10
    "lip_corner_puller": (0.0, 0.12),  # AU12
    "lip_corner_depressor": (0.0, 0.12),  # AU15
    "lip_stretcher": (0.0, 0.12),  # AU20
    "lip_tightener": (0.0, 0.12),  # AU23
    "lips_part": (0.0, 0.12),  # AU25
    "jaw_drop": (0.0, 0.08),  # AU26
    "lid_droop": (0.0, 0.12),  # AU43
}
EXPRESSIONS = {
    "angry": {
        "brow_lowerer": (0.55, 1.0),
        "upper_lid_raiser": (0.0, 0.4),
        "lid_tightener": (0.4, 0.9),
        "lip_corner_depressor": (0.0, 0.35),
        "lip_tightener": (0.4, 1.0),
        "lips_part": (0.0, 0.4),
    },
    "disgust": {
        "brow_lowerer": (0.15, 0.7),
        "cheek_raiser": (0.1, 0.6),
        "lid_tightener": (0.4, 0.9),
        "nose_wrinkler": (0.5, 1.0),
        "upper_lip_raiser": (0.55, 1.0),
        "lip_corner_depressor": (0.0, 0.6),
        "lips_part": (0.0, 0.5),
    },
    "fear": {
        "inner_brow_raiser": (0.5, 1.0),
        "outer_brow_raiser": (0.0, 0.5),
        "brow_lowerer": (0.1, 0.5),
        "upper_lid_raiser": (0.4, 1.0),
        "lip_stretcher": (0.5, 1.0),
        "lip_corner_depressor": (0.0, 0.3),
        "lips_part": (0.2, 1.0),
        "jaw_drop": (0.0, 0.25),
    },
    "happy": {
        "cheek_raiser": (0.2, 1.0),
        "lip_corner_puller": (0.5, 1.0),
        "upper_lip_raiser": (0.0, 0.2),
        "lips_part": (0.0, 1.0),
        "jaw_drop": (0.0, 0.3),
    },
    "sad": {
        "inner_brow_raiser": (0.5, 1.0),
        "brow_lowerer": (0.0, 0.4),
        "lip_corner_depressor": (0.5, 1.0),
        "lid_droop": (0.2, 0.9),
    },
    "surprise": {
        "inner_brow_raiser": (0.5, 1.0),
        "outer_brow_raiser": (0.5, 1.0),
        "upper_lid_raiser": (0.3, 1.0),
        "lips_part": (0.1, 0.5),
        "jaw_drop": (0.4, 1.0),
    },
    "neutral": {},
}

# What differs from person to person, whatever the expression. Lengths in the face's frame.
PERSON = {
    "head_width": (0.74, 0.86),
    "crown": (0.92, 1.10),
    "chin": (0.95, 1.12),
    "jaw": (0.05, 0.35),  # share by which the head narrows towards the chin
    "hair_volume": (0.02, 0.20),
    "hairline": (-0.82, -0.60),
    "hair_part": (-0.15, 0.15),
    "hair_length": (-0.4, 1.2),
    "brow_y": (-0.44, -0.36),
    "brow_length": (0.19, 0.24),
    "brow_thickness": (0.035, 0.058),
    "brow_arch": (0.0, 0.06),
    "brow_tilt": (-0.02, 0.02),
    "eye_x": (0.33, 0.38),
    "eye_y": (-0.16, -0.10),
    "eye_width": (0.17, 0.21),
    "eye_height": (0.095, 0.120),
    "eye_tilt": (-0.02, 0.02),
    "iris": (0.075, 0.095),
    "gaze_x": (-0.05, 0.05),
    "gaze_y": (-0.02, 0.02),
    "lash": (0.014, 0.028),
    "nose_y": (0.20, 0.28),
    "nose_width": (0.10, 0.16),
    "mouth_y": (0.53, 0.59),
    "mouth_width": (0.30, 0.37),
    "mouth_curve": (-0.02, 0.02),
    "mouth_line": (0.020, 0.030),
    "lip": (0.03, 0.07),
    "teeth": (0.03, 0.08),
    "crease": (0.010, 0.020),
    "lopsided": (-0.5, 0.5),  # an expression is a little stronger on one side
}
TONES = {
    "background": (60, 210),
    "skin": (140, 225),
    "hair": (20, 140),
    "clothes": (20, 230),
    "feature": (0.12, 0.32),  # brows, lashes, nostrils: share of the skin's tone
    "lips": (0.60, 0.88),  # share of the skin's tone
    "iris": (15, 70),
    "depth": (0.25, 0.50),  # how dark a crease is, as a share of the skin's tone
    "eye_white": (0.90, 1.20),
    "cavity": (10, 50),
}
POSE = {
    "scale": (22.5, 26.0),  # pixels per unit of the face's frame
    "x": (-1.5, 1.5),  # pixels from the picture's centre
    "y": (-1.5, 1.5),
    "roll": (-0.10, 0.10),  # radians
    "yaw": (-0.10, 0.10),
    "pitch": (-0.06, 0.06),
}
LIGHT = {
    "contrast": (0.80, 1.10),
    "brightness": (-25.0, 25.0),
    "gradient_x": (-0.25, 0.25),
    "gradient_y": (-0.20, 0.20),
    "noise": (2.0, 8.0),  # standard deviation in grey levels
}
SHARE_BALD, SHARE_BEARD, SHARE_GLASSES = 0.10, 0.12, 0.10
