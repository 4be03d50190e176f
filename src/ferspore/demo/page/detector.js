// BlazeFace finds the faces of a picture: use/blazeface.py, step by step. Its numbers, with the
// reasons for them, are there; they come as `told`. A point is [x, y]; a box has a score and the
// eight points of the network: centre, size, eyes, nose, mouth, ears.

import { squareAround } from "./faces.js";
import { resize } from "./resample.js";
import { roundHalfEven } from "./rounding.js";

const POINTS = 8; // of a box
// Bytes as the network takes them, in the single precision of NumPy.
const SCALED = Float32Array.from({ length: 256 }, (_, byte) => Math.fround(byte / 127.5) - 1);

/** A function: ImageData, whether it is a video's -> squares, from left to right. */
export function faceFinder(network, told) {
  return async (picture, moving) => {
    const longer = Math.max(picture.width, picture.height);
    const [first, ...more] = moving ? told.moving_levels : told.levels;
    const rgb = withoutAlpha(picture);
    const boxes = await look(network, rgb, first, told.coarse_score, told);
    for (const level of more.filter((size) => size <= longer)) {
      boxes.push(...await look(network, rgb, level, told.fine_score, told));
    }
    return merged(boxes, told)
      .map((box) => ferSquare(box, picture, told))
      .filter(({ side }) => side >= told.smallest_face)
      .sort((a, b) => a.left - b.left || a.top - b.top || a.side - b.side);
  };
}

/** The boxes that score at least `least` where the longer side is seen at `level` pixels. */
async function look(network, rgb, level, least, told) {
  const seen = networkInput(rgb, level, told.multiple);
  const outputs = await network(seen.values, [1, 3, seen.height, seen.width]);
  const zoom = level / Math.max(rgb.width, rgb.height);
  return decoded(outputs, seen.width / told.stride, least, told).map(({ score, points }) => ({
    score,
    points: points.map(([x, y], i) =>
      i === told.size ? [x / zoom, y / zoom] : [(x - seen.left) / zoom, (y - seen.top) / zoom]),
  }));
}

function withoutAlpha({ data, width, height }) {
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = data[from];
    rgb[to + 1] = data[from + 1];
    rgb[to + 2] = data[from + 2];
  }
  return { data: rgb, width, height, channels: 3 };
}

/** The picture, its longer side `level` pixels, in the middle of grey: three planes of floats. */
function networkInput(rgb, level, multiple) {
  const zoom = level / Math.max(rgb.width, rgb.height);
  const [across, along] = [rgb.width, rgb.height].map((n) => Math.max(1, roundHalfEven(n * zoom)));
  const small = resize(rgb, across, along).data;
  const [width, height] = [across, along].map((n) => Math.ceil(n / multiple) * multiple);
  const [left, top] = [Math.floor((width - across) / 2), Math.floor((height - along) / 2)];
  const values = new Float32Array(3 * height * width);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < along; y++) {
      const row = (channel * height + top + y) * width + left;
      for (let x = 0; x < across; x++) {
        values[row + x] = SCALED[small[(y * across + x) * 3 + channel]];
      }
    }
  }
  return { values, width, height, left, top };
}

/** The network's outputs: scores are logits, places are relative to the centres of their cells. */
function decoded({ scores, boxes }, columns, least, { stride, size }) {
  const found = [];
  scores.forEach((logit, cell) => {
    const score = 1 / (1 + Math.exp(-logit));
    if (score < least) return;
    const centre = [(cell % columns) + 0.5, Math.floor(cell / columns) + 0.5].map((n) => n * stride);
    const points = Array.from({ length: POINTS }, (_, i) =>
      [0, 1].map((axis) => boxes[(cell * POINTS + i) * 2 + axis] + (i === size ? 0 : centre[axis])));
    found.push({ score, points });
  });
  return found;
}

/** One box a face: of boxes that share much of the smaller one the best stays, as the mean, by
 * score, of those that are much alike. */
function merged(boxes, told) {
  const faces = [];
  let left = boxes.toSorted((a, b) => b.score - a.score);
  while (left.length) {
    const [best] = left;
    const compared = left.map((box) => ({ box, ...overlap(best, box, told) }));
    const alike = compared.filter(({ ofUnion }) => ofUnion > told.alike).map(({ box }) => box);
    faces.push(mean(alike.length ? alike : [best]));
    left = compared.filter(({ box, ofSmaller }) => box !== best && !(ofSmaller > told.same))
      .map(({ box }) => box);
  }
  return faces;
}

/** What two boxes share, as shares of their union and of the smaller one. */
function overlap(a, b, { centre, size }) {
  const sides = [0, 1].map((axis) => {
    const high = [a, b].map(({ points }) => points[centre][axis] + points[size][axis] / 2);
    const low = [a, b].map(({ points }) => points[centre][axis] - points[size][axis] / 2);
    return Math.max(0, Math.min(...high) - Math.max(...low));
  });
  const shared = sides[0] * sides[1];
  const areas = [a, b].map(({ points }) => points[size][0] * points[size][1]);
  return { ofUnion: shared / (areas[0] + areas[1] - shared), ofSmaller: shared / Math.min(...areas) };
}

function mean(boxes) {
  const total = boxes.reduce((sum, { score }) => sum + score, 0);
  const average = (i, axis) =>
    boxes.reduce((sum, { score, points }) => sum + score * points[i][axis], 0) / total;
  return { points: boxes[0].points.map((_, i) => [average(i, 0), average(i, 1)]) };
}

/** FER2013's frame of a face that was found; turned where the face is, by more than `upright`. */
function ferSquare({ points }, picture, told) {
  const [right, left, mouth] = [told.right_eye, told.left_eye, told.mouth].map((i) => points[i]);
  const [across, down] = [0, 1].map((axis) => mouth[axis] - (right[axis] + left[axis]) / 2);
  const turned = (Math.atan2(-across, down) * 180) / Math.PI;
  const angle = Math.abs(turned) > told.upright ? roundHalfEven(turned * 10) / 10 : 0;
  const side = (told.side * (points[told.size][0] + points[told.size][1])) / 2;
  const [x, y] = points[told.centre];
  const [up, radians] = [side * told.up, (angle * Math.PI) / 180];
  return squareAround(x + up * Math.sin(radians), y - up * Math.cos(radians), side, picture, angle);
}
