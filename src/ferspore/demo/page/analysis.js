// A picture -> its faces and their probabilities: the two networks, one picture at a time.

import { faceFinder } from "./detector.js";
import { cutFace } from "./faces.js";
import { loadNetwork } from "./network.js";
import { resize } from "./resample.js";

/** A function: ImageData, whether it is a video's -> [{square, probabilities}], from left to right.
 * `model` is model.json. */
export async function loadAnalysis(model) {
  const find = faceFinder(await loadNetwork("detector.onnx"), model.detector);
  const network = await loadNetwork("model.onnx");

  async function analyse(picture, moving) {
    const squares = await find(picture, moving);
    const faces = squares.map((square) => cutFace(picture, square, model.cut_size));
    const probabilities = await judged(network, faces, model.seen_size);
    return squares.map((square, i) => ({ square, probabilities: probabilities[i] }));
  }

  let last = Promise.resolve();
  return (picture, moving) => {
    // A session cannot run twice at once, and a new source may start before the old one has ended.
    last = last.catch(() => {}).then(() => analyse(picture, moving));
    return last;
  };
}

/** The probabilities of grey rasters, by a network that sees them at `size`. */
async function judged(network, faces, size) {
  if (!faces.length) return [];
  const values = new Float32Array(faces.length * size * size);
  faces.forEach((face, i) => values.set(resize(face, size, size).data, i * size * size));
  const { probabilities } = await network(values, [faces.length, 1, size, size]);
  const classes = probabilities.length / faces.length;
  return faces.map((_, i) => Array.from(probabilities.subarray(i * classes, (i + 1) * classes)));
}
