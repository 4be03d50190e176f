// Squares of a picture, {left, top, side, angle}, and their pixels as the model was trained on. The
// arithmetic is that of use/faces.py, hence Pillow's.

import { resize } from "./resample.js";
import { roundHalfEven } from "./rounding.js";

const OUTSIDE = 128; // grey: what a turned square that reaches beyond its picture shows there

/** The square centred at (x, y); an upright one is moved and shrunk to lie inside the picture. */
export function squareAround(x, y, length, { width, height }, angle) {
  const whole = roundHalfEven(length);
  const side = Math.max(1, angle ? whole : Math.min(whole, width, height));
  const left = roundHalfEven(x - side / 2);
  const top = roundHalfEven(y - side / 2);
  if (angle) return { left, top, side, angle };
  const inside = (place, room) => Math.min(Math.max(place, 0), room - side);
  return { left: inside(left, width), top: inside(top, height), side, angle };
}

/** Upper left, upper right, lower right, lower left corner of the face. */
export function cornersOf({ left, top, side, angle }) {
  const half = side / 2;
  const radians = (angle * Math.PI) / 180;
  const [right, down] = [half * Math.cos(radians), half * Math.sin(radians)];
  return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([across, along]) => [
    left + half + across * right - along * down,
    top + half + across * down + along * right,
  ]);
}

/** The pixels of an ImageData in a square as an upright grey raster of size x size. */
export function cutFace(picture, square, size) {
  const data = square.angle ? turnedPixels(picture, square) : uprightPixels(picture, square);
  const { side } = square;
  return resize({ data, width: side, height: side, channels: 1 }, size, size);
}

/** ITU-R 601 in Pillow's whole numbers (its Convert.c). */
function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function uprightPixels({ data, width }, { left, top, side }) {
  const grey = new Uint8Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const at = ((top + y) * width + left + x) * 4;
      grey[y * side + x] = luma(data[at], data[at + 1], data[at + 2]);
    }
  }
  return grey;
}

function turnedPixels(picture, square) {
  const { side } = square;
  const [[x0, y0], [rightX, rightY], , [downX, downY]] = cornersOf(square);
  const steps = [rightX - x0, downX - x0, side * x0, rightY - y0, downY - y0, side * y0];
  const [xx, xy, x1, yx, yy, y1] = steps.map((step) => step / side);
  const grey = new Uint8Array(side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const [across, along] = [column + 0.5, row + 0.5];
      const [x, y] = [xx * across + xy * along + x1, yx * across + yy * along + y1];
      grey[row * side + column] = luma(...blended(picture, x, y));
    }
  }
  return grey;
}

/** The colour at a place between pixels, cut to whole numbers (Pillow's Geometry.c, BILINEAR). */
function blended({ data, width, height }, x, y) {
  if (x < 0 || x >= width || y < 0 || y >= height) return [OUTSIDE, OUTSIDE, OUTSIDE];
  const [left, top] = [Math.floor(x - 0.5), Math.floor(y - 0.5)];
  const [right, below] = [Math.min(left + 1, width - 1), Math.min(top + 1, height - 1)];
  const mix = (a, b, part) => a + (b - a) * part;
  return [0, 1, 2].map((channel) => {
    const at = (column, row) => data[(Math.max(row, 0) * width + Math.max(column, 0)) * 4 + channel];
    const across = (row) => mix(at(left, row), at(right, row), x - 0.5 - left);
    return Math.trunc(mix(across(top), across(below), y - 0.5 - top));
  });
}
