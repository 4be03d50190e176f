// The life of the page: loading, then one source at a time, an image, a video or the camera.

import { loadAnalysis } from "./analysis.js";
import { close, frameOf, hasCamera, nextFrame, openCamera, openVideo, readImage } from "./camera.js";
import { drawTimeline, remember } from "./chart.js";
import { pace, showCards, showModel, showPicture, summary, tell } from "./view.js";

const ANNOUNCED = 2000; // milliseconds between two results that a screen reader is told
const CALM = 1; // seconds between two timelines where the user wants little motion
const INSTEAD = "Choose or drop an image or a video instead.";
const CAMERA_TROUBLE = {
  NotFoundError: `There is no camera here. ${INSTEAD}`,
  NotAllowedError: `This page was not allowed to use the camera. ${INSTEAD}`,
  NotReadableError: `The camera does not answer; another program may be using it. ${INSTEAD}`,
};

const byId = (id) => document.getElementById(id);
const fewMotions = window.matchMedia("(prefers-reduced-motion: reduce)");
const model = await (await fetch("model.json")).json();
let analyse;
let halt = new AbortController(); // of the source that is shown
let shown = null; // {picture, faces}, drawn again when the window changes
let cameraIsOn = false;

// --- sources -------------------------------------------------------------------------------------

/** Stops what is shown and shows another source. `open` may wait for the user's permission;
 * `explain` words the browser's refusal. */
async function start(open, run, explain) {
  halt.abort();
  const { signal } = (halt = new AbortController());
  try {
    const source = await open();
    if (!signal.aborted) await run(source, signal);
    else if (source instanceof HTMLVideoElement) close(source);
  } catch (error) {
    if (signal.aborted) return;
    const refused = error instanceof DOMException;
    tell(refused ? explain(error) : `The page failed: ${error.message}`, true);
    halt.abort(); // lets go of the source
  }
}

function startCamera() {
  tell("Waiting for the camera …");
  const explain = ({ name, message }) =>
    CAMERA_TROUBLE[name] ?? `The camera cannot be used: ${message || name}. ${INSTEAD}`;
  start(openCamera, runCamera, explain);
}

function stopCamera() {
  halt.abort();
  tell("The camera is off.");
}

function startFile(file) {
  tell(`Reading ${file.name} …`);
  const [open, run] = file.type.startsWith("video/") ? [openVideo, runVideo] : [readImage, runImage];
  const explain = () => `${file.name}: not an image or a video that this browser can read.`;
  start(() => open(file), (source, signal) => run(source, signal, file.name), explain);
}

async function runImage(picture, signal, name) {
  const faces = await analyse(picture, false);
  if (signal.aborted) return;
  byId("past").hidden = true;
  tell(name);
  show(picture, faces);
  announce(faces);
}

async function runCamera(video, signal) {
  cameraIsOn = true;
  byId("camera").textContent = "Stop camera";
  video.srcObject.getVideoTracks()[0].onended = stopCamera; // it was unplugged
  tell("The camera is on.");
  try {
    await follow(video, signal);
  } finally {
    cameraIsOn = false;
    byId("camera").textContent = "Start camera";
  }
}

async function runVideo(video, signal, name) {
  const button = byId("pause");
  button.textContent = "Pause";
  button.hidden = false;
  button.onclick = () => (video.paused ? video.play() : video.pause());
  video.onplay = video.onpause = () => (button.textContent = video.paused ? "Play" : "Pause");
  signal.addEventListener("abort", () => (button.hidden = true));
  tell(name);
  await follow(video, signal);
}

/** Shows a video's frames until the signal: when one is done, the newest. */
async function follow(video, signal) {
  byId("past").hidden = false;
  signal.addEventListener("abort", () => close(video)); // at once, not after the analysis
  const moments = [];
  const count = pace(byId("speed"));
  let faces = null;
  const timer = setInterval(() => faces && announce(faces), ANNOUNCED);
  try {
    while (!signal.aborted) {
      const next = nextFrame(video, signal); // or the last one may pass during the analysis
      const [picture, time] = [frameOf(video), video.currentTime];
      faces = await analyse(picture, true);
      if (signal.aborted) break;
      show(picture, faces);
      showTimeline(moments, time, faces);
      count();
      await next;
    }
  } finally {
    clearInterval(timer);
    byId("speed").textContent = "";
  }
}

// --- what is shown -------------------------------------------------------------------------------

function show(picture, faces) {
  shown = { picture, faces };
  showPicture(picture, faces, model);
  showCards(faces, model);
}

function announce(faces) {
  const [output, text] = [byId("summary"), summary(faces, model)];
  if (output.textContent !== text) output.textContent = text;
  output.classList.toggle("spoken", faces.length > 0); // the cards tell it to those who see
}

function showTimeline(moments, time, faces) {
  const before = moments.at(-1)?.time ?? time;
  const largest = faces.toSorted((a, b) => b.square.side - a.square.side)[0];
  remember(moments, time, largest?.probabilities);
  if (fewMotions.matches && Math.floor(before / CALM) === Math.floor(time / CALM)) return;
  drawTimeline(byId("timeline"), moments, model.emotions.map(({ colour }) => colour));
}

// --- the user ------------------------------------------------------------------------------------

function listen() {
  byId("camera").onclick = () => (cameraIsOn ? stopCamera() : startCamera());
  byId("file").onchange = ({ target }) => {
    if (target.files.length) startFile(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  };
  document.ondragover = (event) => {
    event.preventDefault(); // else the browser would leave the page for the file
    byId("stage").classList.add("dropping");
  };
  document.ondragleave = () => byId("stage").classList.remove("dropping");
  document.ondrop = (event) => {
    event.preventDefault();
    byId("stage").classList.remove("dropping");
    if (!analyse) return; // the model is still loading, as the page says
    const [file] = event.dataTransfer.files;
    if (file) startFile(file);
    else tell("That was no file: drop an image or a video.", true);
  };
  window.onresize = () => shown && showPicture(shown.picture, shown.faces, model);
}

async function load() {
  showModel(model);
  listen();
  analyse = await loadAnalysis(model);
  tell((await hasCamera()) ? "Ready." : CAMERA_TROUBLE.NotFoundError);
  byId("camera").disabled = byId("file").disabled = false;
}

load().catch((error) => tell(`The model cannot be loaded: ${error.message}`, true));
