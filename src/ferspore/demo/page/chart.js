// The timeline: the probabilities of one face over the last seconds, stacked to a full height.

export const SECONDS = 30;
const GAP = 5; // seconds without a frame, as in a pause: the bands are interrupted

/** `moments`: {time, probabilities}, without probabilities where there was no face. Adds one and
 * drops those that are too old; a time before the last one starts anew. */
export function remember(moments, time, probabilities) {
  if (moments.length && time < moments.at(-1).time) moments.length = 0;
  moments.push({ time, probabilities });
  while (moments[0].time < time - SECONDS) moments.shift();
}

export function drawTimeline(canvas, moments, colours) {
  const context = fitted(canvas);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const now = moments.at(-1)?.time ?? 0;
  const x = ({ time }) => width * (1 - (now - time) / SECONDS);
  context.clearRect(0, 0, width, height);
  for (const run of unbroken(moments)) {
    colours.forEach((colour, code) => {
      const below = (moment) => height * (1 - sum(moment.probabilities, code));
      const above = (moment) => height * (1 - sum(moment.probabilities, code + 1));
      context.beginPath();
      run.forEach((moment) => context.lineTo(x(moment), above(moment)));
      run.toReversed().forEach((moment) => context.lineTo(x(moment), below(moment)));
      context.fillStyle = colour;
      context.fill();
    });
  }
}

/** The canvas's context in CSS pixels, its bitmap as fine as the screen. */
export function fitted(canvas) {
  const fine = window.devicePixelRatio;
  canvas.width = Math.round(canvas.clientWidth * fine);
  canvas.height = Math.round(canvas.clientHeight * fine);
  const context = canvas.getContext("2d");
  context.scale(fine, fine);
  return context;
}

function unbroken(moments) {
  const runs = [];
  let last = null;
  for (const moment of moments) {
    const follows = last?.probabilities && moment.time - last.time < GAP;
    if (moment.probabilities) follows ? runs.at(-1).push(moment) : runs.push([moment]);
    last = moment;
  }
  return runs;
}

function sum(values, count) {
  let total = 0;
  for (let i = 0; i < count; i++) total += values[i];
  return total;
}
