// What is seen: the picture with its faces framed, a card with seven bars for each face, words.
// A face here is {square, probabilities}; a model is what model.json holds.

import { fitted } from "./chart.js";
import { cornersOf } from "./faces.js";

const TALLEST = 0.7; // of the window's height that the picture may take
const LARGEST = 8; // times that a small picture is enlarged

const byId = (id) => document.getElementById(id);

export function bestOf({ probabilities }) {
  const confidence = Math.max(...probabilities);
  return { code: probabilities.indexOf(confidence), confidence };
}

/** "happy 0.61", or "uncertain, perhaps sad 0.41". */
function words(face, { emotions, uncertain }) {
  const { code, confidence } = bestOf(face);
  const guess = `${emotions[code].name} ${confidence.toFixed(2)}`;
  return confidence < uncertain ? `uncertain, perhaps ${guess}` : guess;
}

export function tell(text, trouble = false) {
  const status = byId("status");
  status.textContent = text;
  status.classList.toggle("trouble", trouble);
}

/** A function to call at each frame: writes, once a second, how many there were. */
export function pace(output) {
  let [since, frames] = [performance.now(), 0];
  return () => {
    const seconds = (performance.now() - since) / 1000;
    frames += 1;
    if (seconds < 1) return;
    output.textContent = `${(frames / seconds).toFixed(1)} frames a second`;
    [since, frames] = [performance.now(), 0];
  };
}

export function summary(faces, model) {
  if (!faces.length) return "No face found.";
  const each = faces.map((face) => words(face, model)).join("; ");
  return faces.length === 1 ? `One face: ${each}.` : `${faces.length} faces, from left: ${each}.`;
}

/** Shows an ImageData with its faces framed. */
export function showPicture(picture, faces, model) {
  byId("hint").hidden = true;
  const canvas = byId("picture");
  canvas.hidden = false;
  const zoom = fit(canvas, picture);
  const context = fitted(canvas);
  const original = new OffscreenCanvas(picture.width, picture.height);
  original.getContext("2d").putImageData(picture, 0, 0);
  context.imageSmoothingQuality = "high"; // a photograph may be much larger than the page
  context.drawImage(original, 0, 0, canvas.clientWidth, canvas.clientHeight);
  faces.forEach((face) => frame(context, face, zoom, model));
}

/** Gives the canvas its size on the page; returns its scale. */
function fit(canvas, { width, height }) {
  const room = byId("stage").clientWidth - 16; // without the padding
  const zoom = Math.min(room / width, (window.innerHeight * TALLEST) / height, LARGEST);
  canvas.style.width = `${Math.round(width * zoom)}px`;
  canvas.style.height = `${Math.round(height * zoom)}px`;
  return zoom;
}

function frame(context, face, zoom, model) {
  const { code, confidence } = bestOf(face);
  const corners = cornersOf(face.square).map((place) => place.map((n) => n * zoom));
  context.beginPath();
  corners.forEach(([x, y]) => context.lineTo(x, y));
  context.closePath();
  context.setLineDash(confidence < model.uncertain ? [6, 5] : []);
  for (const [width, colour] of [[5, "#000a"], [3, model.emotions[code].colour]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  label(context, words(face, model), Math.min(...xs), [Math.min(...ys), Math.max(...ys)]);
}

/** A line of text above what is framed, or below it at the upper edge, inside the canvas. */
function label(context, text, left, [top, bottom]) {
  const [height, pad] = [20, 5];
  context.font = "14px system-ui, 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  const width = context.measureText(text).width + 2 * pad;
  const x = Math.max(0, Math.min(left, context.canvas.clientWidth - width));
  const above = top - height - 2;
  const y = above >= 0 ? above : Math.min(bottom + 2, context.canvas.clientHeight - height);
  context.fillStyle = "#000c";
  context.fillRect(x, y, width, height);
  context.fillStyle = "#fff";
  context.fillText(text, x + pad, y + height / 2);
}

/** A card for each face, from left to right; those that are there are used again. */
export function showCards(faces, model) {
  const list = byId("faces");
  while (list.children.length > faces.length) list.lastElementChild.remove();
  while (list.children.length < faces.length) list.append(emptyCard(model));
  faces.forEach((face, i) => fill(list.children[i], face, i, model));
}

function emptyCard({ emotions }) {
  const card = document.createElement("li");
  const table = document.createElement("table");
  for (const { name, colour } of emotions) {
    const row = table.insertRow();
    row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name }));
    const track = Object.assign(document.createElement("div"), { className: "track" });
    const bar = Object.assign(document.createElement("div"), { className: "bar" });
    bar.style.background = colour;
    track.append(bar);
    row.insertCell().append(track);
    row.insertCell();
  }
  card.append(document.createElement("h3"), table);
  return card;
}

function fill(card, face, number, model) {
  const heading = card.querySelector("h3");
  heading.textContent = `Face ${number + 1}: ${words(face, model)}`;
  heading.classList.toggle("uncertain", bestOf(face).confidence < model.uncertain);
  card.querySelectorAll("tr").forEach((row, code) => {
    const probability = face.probabilities[code];
    row.querySelector(".bar").style.width = `${100 * probability}%`;
    row.lastElementChild.textContent = probability.toFixed(2);
  });
}

export function showModel({ name, accuracy, sha256 }) {
  const facts = [
    ["Model", name],
    ["Accuracy", accuracy],
    ["SHA-256", sha256],
    ["Face detector", "BlazeFace, full range"],
  ];
  byId("model").append(...facts.flatMap(([term, text]) => [
    Object.assign(document.createElement("dt"), { textContent: term }),
    Object.assign(document.createElement("dd"), { textContent: text }),
  ]));
}
