// Pillow's antialiased resize (Image.resize, BILINEAR), to the bit, so that the network sees in the
// browser what it sees in Python. Source: Pillow's src/libImaging/Resample.c.
//
// A raster is {data, width, height, channels}: bytes, row by row, the channels side by side.

const BITS = 22; // of a weight's fraction; Pillow's PRECISION_BITS
const HALF = 2 ** (BITS - 1);

export function resize(raster, width, height) {
  // Since Pillow 13 the columns come first where the height shrinks by more than twice as much as
  // the width. Each pass rounds, so the order tells; of squares, hence of faces, it is one.
  const shrinks = raster.height - height;
  const passes = [acrossRows, downColumns];
  if (shrinks > 0 && shrinks > 2 * (raster.width - width)) passes.reverse();
  return passes.reduce((own, pass) => pass(own, pass === acrossRows ? width : height), raster);
}

/** For each output pixel along one side: the first input pixel that counts, and the weights of it
 * and of those that follow, whole numbers whose sum is 1 << BITS or nearly so. */
function windows(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1); // half the width of the triangle
  return Array.from({ length: to }, (_, pixel) => {
    const centre = (pixel + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const shares = Array.from({ length: end - first }, (_, i) =>
      Math.max(0, 1 - Math.abs((i + first - centre + 0.5) * (1 / reach))),
    );
    const sum = shares.reduce((total, share) => total + share, 0);
    const weights = shares.map((share) => Math.floor(0.5 + (share / sum) * 2 ** BITS));
    return { first, weights: Int32Array.from(weights) };
  });
}

function acrossRows({ data, width: from, height, channels }, width) {
  const out = new Uint8Array(width * height * channels);
  const all = windows(from, width);
  for (let y = 0, place = 0; y < height; y++) {
    for (const { first, weights } of all) {
      const start = (y * from + first) * channels;
      for (let channel = 0; channel < channels; channel++) {
        out[place++] = blend(data, start + channel, channels, weights);
      }
    }
  }
  return { data: out, width, height, channels };
}

function downColumns({ data, width, height: from, channels }, height) {
  const row = width * channels;
  const out = new Uint8Array(row * height);
  windows(from, height).forEach(({ first, weights }, y) => {
    for (let i = 0; i < row; i++) out[y * row + i] = blend(data, first * row + i, row, weights);
  });
  return { data: out, width, height, channels };
}

/** The weighted mean, rounded, of values that are `step` apart. */
function blend(data, start, step, weights) {
  let sum = HALF;
  for (let k = 0, at = start; k < weights.length; k++, at += step) {
    sum += data[at] * weights[k];
  }
  return sum >> BITS;
}
