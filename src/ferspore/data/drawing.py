"""Draws evenly lit grey faces from proportions, action units, tones and a pose.

A face is a list of filled polygons in a frame of its own (x right, y down, the head about 1.6 wide
and 2 high, its centre at 0, 0). The polygons are drawn at four times the size on whole pixels and
averaged down, so the faces do not depend on a library's anti-aliasing.

Each argument is a namespace with the names of a table in expressions.py; its values are columns
(N,1), one row per face.
"""

from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw

from ferspore.labels import FACE_SIZE

OVERSAMPLING = 4

Broadcast = np.ndarray | float  # to the shape of the curve, (N,P)
Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # points (N,P,2), tone (N,), shown (N,) bool


def draw(
    person: SimpleNamespace,
    units: SimpleNamespace,
    tones: SimpleNamespace,
    pose: SimpleNamespace,
    *,
    bald: np.ndarray,
    beard: np.ndarray,
    glasses: np.ndarray,
) -> np.ndarray:
    """Evenly lit faces without noise, float64 (N,48,48); bald, beard and glasses: bool (N,)."""
    parts = [
        *_head(person, units, tones, bald),
        *_creases(person, units, tones),
        *_hair(person, units, tones, bald, beard),
        *_nose(person, units, tones),
        *_mouth(person, units, tones),
    ]
    for side in (-1, 1):
        stronger = SimpleNamespace(
            **{name: au * (1 + 0.3 * side * person.lopsided) for name, au in vars(units).items()}
        )
        parts += _eye(side, person, stronger, tones)
        parts += _brow(side, person, stronger, tones)
        parts.append(_glass(side, person, tones, glasses))
    return _paint(parts, person, pose, tones.background)


def _between(x: np.ndarray, top: Broadcast, bottom: Broadcast) -> np.ndarray:
    """The polygon (N,2P,2) between two curves over the same x, each broadcast to (N,P)."""
    x, top, bottom = np.broadcast_arrays(np.atleast_2d(x), top, bottom)
    upper = np.stack([x, top], axis=-1)
    lower = np.stack([x, bottom], axis=-1)[:, ::-1]
    return np.concatenate([upper, lower], axis=1)


def _stroke(x: np.ndarray, y: Broadcast, width: Broadcast) -> np.ndarray:
    """A line through the points (x, y), of the given width at each point, as a polygon."""
    x, y, width = np.broadcast_arrays(np.atleast_2d(x), y, width)
    along_x, along_y = np.gradient(x, axis=1), np.gradient(y, axis=1)
    length = np.sqrt(along_x**2 + along_y**2)
    off_x, off_y = -along_y / length * width / 2, along_x / length * width / 2
    one = np.stack([x + off_x, y + off_y], axis=-1)
    other = np.stack([x - off_x, y - off_y], axis=-1)[:, ::-1]
    return np.concatenate([one, other], axis=1)


def _ellipse(x, y, half_width, half_height, points: int = 24) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)[None]
    xs, ys = np.broadcast_arrays(x + half_width * np.cos(angle), y + half_height * np.sin(angle))
    return np.stack([xs, ys], axis=-1)


def _part(points: np.ndarray, tone: np.ndarray, shown: np.ndarray | None = None) -> Part:
    tone = np.clip(tone, 0, 255).round().astype(int).reshape(-1)
    return points, tone, np.ones(len(tone), bool) if shown is None else shown


def _outline(person, units) -> np.ndarray:
    """The head's outline (N,48,2), clockwise from the right temple: first chin, then crown."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    down = np.clip(np.sin(angle), 0, 1)
    chin = person.chin + 0.12 * units.jaw_drop
    x = person.head_width * np.cos(angle) * (1 - person.jaw * down**2)
    y = np.sin(angle) * np.where(down > 0, chin, person.crown)
    return np.stack([x, y], axis=-1)


def _head(person, units, tones, bald) -> list[Part]:
    """Clothes, neck, hair behind the head, ears and head, from back to front."""
    shade = tones.skin * 0.85
    hair_width = person.head_width + person.hair_volume
    hair_height = person.crown + person.hair_volume - 0.1
    sides = np.array([-1, 1])
    return [
        _part(_ellipse(0, 1.75, 1.2, 0.7), tones.clothes),
        _part(_between(0.36 * sides, 0.6, 1.4), shade),
        _part(_ellipse(0, -0.1, hair_width, hair_height), tones.hair, ~bald),
        _part(_between(hair_width * sides, -0.1, person.hair_length), tones.hair, ~bald),
        _part(_ellipse(-person.head_width, 0.0, 0.10, 0.18), shade),
        _part(_ellipse(person.head_width, 0.0, 0.10, 0.18), shade),
        _part(_outline(person, units), tones.skin),
    ]


def _hair(person, units, tones, bald, beard) -> list[Part]:
    """The hair over the forehead and the beard, both over the creases of the skin."""
    u = np.linspace(-1, 1, 17)
    top = -(person.crown + person.hair_volume) * np.sqrt(1 - u**2)
    fringe = person.hairline + person.hair_part * u + 0.45 * u**2
    cap = _between(person.head_width * u, top, np.maximum(fringe, top))
    stubble = _outline(person, units)
    x, y = stubble[..., 0], stubble[..., 1]
    stubble[..., 1] = np.where(y > 0, y, 0.4 * (1 - (x / person.head_width) ** 2))
    return [
        _part(stubble, 0.5 * (tones.skin + tones.hair), beard),
        _part(cap, tones.hair, ~bald),
    ]


def _brow(side, person, units, tones) -> list[Part]:
    u = np.linspace(-1, 1, 9)  # from the inner to the outer end
    inner, outer = (1 - u) / 2, (1 + u) / 2
    x = person.eye_x + person.brow_length * u - 0.05 * units.brow_lowerer * inner
    y = (
        person.brow_y
        + person.brow_tilt * u
        - person.brow_arch * (1 - u**2)
        - 0.20 * units.inner_brow_raiser * inner
        - 0.20 * units.outer_brow_raiser * outer
        + units.brow_lowerer * (0.05 + 0.12 * inner)
        + 0.04 * units.nose_wrinkler * inner
    )
    width = 2 * person.brow_thickness * (1 - 0.6 * outer**2)
    return [_part(_stroke(side * x, y, width), tones.skin * tones.feature)]


def _eye(side, person, units, tones) -> list[Part]:
    """The white, the iris between the lids, and the line of the upper lid."""
    above = person.eye_height * (
        1 + 0.65 * units.upper_lid_raiser - 0.7 * units.lid_droop - 0.35 * units.lid_tightener
    )
    below = person.eye_height * (
        0.75
        + 0.15 * units.upper_lid_raiser
        - 0.45 * units.cheek_raiser
        - 0.40 * units.lid_tightener
    )
    below = np.maximum(below, 0.15 * person.eye_height)
    droop = person.eye_tilt + 0.03 * units.lid_droop

    def lids(u):
        middle, bulge = person.eye_y + droop * u, 1 - u**2
        return middle - above * bulge, middle + below * bulge

    u = np.linspace(-1, 1, 11)
    x = side * (person.eye_x + person.eye_width * u)
    top, bottom = lids(u)
    centre = side * person.eye_x + person.gaze_x
    iris = _ellipse(centre, person.eye_y + person.gaze_y, person.iris, person.iris, points=16)
    iris_top, iris_bottom = lids((side * iris[..., 0] - person.eye_x) / person.eye_width)
    iris[..., 1] = np.clip(iris[..., 1], iris_top, iris_bottom)
    return [
        _part(_between(x, top, bottom), tones.skin * tones.eye_white),
        _part(iris, tones.iris),
        _part(_stroke(x, top, 2 * person.lash), tones.skin * tones.feature),
        _part(_stroke(x, bottom, person.lash), tones.skin * 0.7),
    ]


def _nose(person, units, tones) -> list[Part]:
    u = np.linspace(-1, 1, 9)
    base = person.nose_y - 0.05 * units.nose_wrinkler
    width = person.nose_width * (1 + 0.15 * units.nose_wrinkler)
    wings = base - 0.05 * u**2
    t = np.linspace(0, 1, 5)
    bridge_y = person.eye_y + (base - 0.06 - person.eye_y) * t
    return [
        _part(_stroke(0.3 * width + 0.4 * width * t, bridge_y, 0.03), tones.skin * 0.85),
        _part(_stroke(width * u, wings, 0.02 + 0.02 * np.abs(u)), tones.skin * 0.62),
    ]


def _creases(person, units, tones) -> list[Part]:
    """Lines in the skin; the stronger the action unit behind one, the darker it is."""
    t = np.linspace(0, 1, 7)
    bulge = t * (1 - t)

    def crease(x, y, strength):
        dark = tones.skin * (1 - tones.depth * np.clip(strength, 0, 1))
        return _part(_stroke(x, y, 2 * person.crease), dark)

    brows_up = 0.5 * (units.inner_brow_raiser + units.outer_brow_raiser)
    forehead_y = person.brow_y - 0.26
    fold = np.maximum(units.lip_corner_puller, 0.8 * units.upper_lip_raiser)
    corner_x = person.mouth_width * (1.3 + 0.2 * units.lip_corner_puller)
    parts = [
        crease(0.8 * t - 0.4, forehead_y - lift - 0.2 * bulge, brows_up) for lift in (0.0, 0.1)
    ]
    for side in (-1, 1):
        frown_y = person.brow_y + 0.02 + 0.18 * t
        fold_x = person.nose_width + 0.03 + (corner_x - person.nose_width) * t + 0.2 * bulge
        fold_y = person.nose_y - 0.04 + (person.mouth_y - person.nose_y) * t
        under_x = person.eye_x + person.eye_width * (2 * t - 1)
        parts += [
            crease(side * (0.07 + 0.02 * t), frown_y, units.brow_lowerer),
            crease(side * fold_x, fold_y, fold),
            crease(side * under_x, person.eye_y + 0.12 + 0.2 * bulge, units.cheek_raiser),
            crease(side * (0.05 + 0.10 * t), 0.02 - 0.08 * t, units.nose_wrinkler),
            crease(side * (0.06 + 0.10 * t), 0.10 - 0.08 * t, units.nose_wrinkler),
        ]
    return parts


def _mouth(person, units, tones) -> list[Part]:
    """Lips, the dark between them, the upper teeth, and the line where the lips meet."""
    u = np.linspace(-1, 1, 15)
    width = person.mouth_width * (
        1
        + 0.30 * units.lip_corner_puller
        + 0.30 * units.lip_stretcher
        - 0.22 * units.lip_tightener
        - 0.25 * units.jaw_drop
    )
    lift = person.mouth_curve + 0.20 * units.lip_corner_puller - 0.18 * units.lip_corner_depressor
    uneven = 1 + 0.3 * person.lopsided * u
    meet = person.mouth_y - lift * uneven * (u**2 - 0.4) + 0.02 * units.lip_stretcher * u**2
    # A stretched or raised lip opens the mouth evenly, otherwise it opens in the middle.
    square = np.clip(units.lip_stretcher + units.upper_lip_raiser, 0, 1)
    profile = 1 - (1 - square) * u**2 - square * u**6
    opening = np.maximum(0.16 * units.lips_part - 0.02, 0) + 0.32 * units.jaw_drop
    top = meet - profile * (0.3 * opening + 0.09 * units.upper_lip_raiser * uneven)
    bottom = meet + profile * 0.7 * opening
    thin = 1 - 0.65 * units.lip_tightener
    x = width * u
    lip = person.lip * thin * (1 - u**2)
    dark = tones.skin * tones.feature
    return [
        _part(_between(x, top - lip, bottom + 1.3 * lip), tones.skin * tones.lips),
        _part(_between(x, top, bottom), tones.cavity),
        _part(
            _between(x, top, np.minimum(top + person.teeth * profile, bottom)), tones.skin * 1.15
        ),
        _part(_stroke(x, top, 2 * person.mouth_line), dark),
        _part(_stroke(x, bottom, person.mouth_line), dark),
    ]


def _glass(side, person, tones, worn) -> Part:
    centre = side * person.eye_x, person.eye_y + 0.03
    rim = _ellipse(*centre, 0.27, 0.22)
    hole = _ellipse(*centre, 0.24, 0.19)
    # Both rings closed, the inner one backwards: one polygon whose middle stays empty.
    ring = np.concatenate([rim, rim[:, :1], hole[:, :1], hole[:, ::-1]], axis=1)
    return _part(ring, tones.iris, worn)


def _paint(parts: list[Part], person, pose, background: np.ndarray) -> np.ndarray:
    """Draw the parts over each other, face by face; float64 (N,48,48)."""
    canvas = FACE_SIZE * OVERSAMPLING
    polygons = [_to_canvas(points, person, pose).tolist() for points, _, _ in parts]
    tones = [tone.tolist() for _, tone, _ in parts]
    shown = [mask.tolist() for _, _, mask in parts]
    faces = np.empty((len(background), canvas, canvas), np.uint8)
    for i, ground in enumerate(background.round().astype(int).ravel().tolist()):
        image = Image.new("L", (canvas, canvas), ground)
        draw = ImageDraw.Draw(image)
        for polygon, tone, mask in zip(polygons, tones, shown, strict=True):
            if mask[i]:
                draw.polygon(polygon[i], fill=tone[i])
        faces[i] = image
    blocks = faces.reshape(-1, FACE_SIZE, OVERSAMPLING, FACE_SIZE, OVERSAMPLING)
    return blocks.mean(axis=(2, 4))


def _to_canvas(points: np.ndarray, person, pose) -> np.ndarray:
    """Points of the face's frame (N,P,2) -> whole pixels of the canvas, (N,2P) as x, y, x, ..."""
    x, y = points[..., 0], points[..., 1]
    # Turning the head moves its middle, which is nearer to the viewer, but not its outline.
    nearness = np.clip(1 - (x / person.head_width) ** 2 - y**2, 0, 1)
    x, y = x + pose.yaw * nearness, y + pose.pitch * nearness
    cos, sin = np.cos(pose.roll), np.sin(pose.roll)
    centre = FACE_SIZE / 2
    across = centre + pose.x + pose.scale * (cos * x - sin * y)
    down = centre + pose.y + pose.scale * (sin * x + cos * y)
    pixels = np.stack([across, down], axis=-1) * OVERSAMPLING
    return pixels.round().astype(int).reshape(len(pixels), -1)
