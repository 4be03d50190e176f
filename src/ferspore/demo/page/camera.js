// Where pictures come from: the camera, a video file, an image file. Each becomes pixels on one
// canvas, opaque, upright and in sRGB, as predict reads them.

const LONGEST = 1280; // pixels of a video's longer side: larger frames take longer than they help

const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });

export async function hasCamera() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.some(({ kind }) => kind === "videoinput");
}

/** A playing video of the camera. Throws a DOMException where there is none, or no permission. */
export async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "NotFoundError");
  const size = { width: { ideal: 640 }, height: { ideal: 480 } };
  const stream = await navigator.mediaDevices.getUserMedia({ video: size, audio: false });
  const video = silentVideo();
  video.srcObject = stream;
  return playing(video);
}

/** A playing video of a file. Throws a DOMException where the browser cannot decode it. */
export async function openVideo(file) {
  const video = silentVideo();
  video.src = URL.createObjectURL(file);
  return playing(video);
}

async function playing(video) {
  try {
    await video.play();
  } catch (error) {
    close(video);
    throw error;
  }
  return video;
}

function silentVideo() {
  return Object.assign(document.createElement("video"), { muted: true, playsInline: true });
}

/** Lets go of the camera or the file. */
export function close(video) {
  video.pause();
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  const { src } = video;
  video.removeAttribute("src");
  video.load(); // the element lets go first: else it complains that the file is gone
  URL.revokeObjectURL(src);
}

/** Waits for the frame that comes next, or for the signal. */
export function nextFrame(video, signal) {
  return new Promise((resolve) => {
    const number = video.requestVideoFrameCallback(done);
    signal.addEventListener("abort", done);
    function done() {
      video.cancelVideoFrameCallback(number);
      signal.removeEventListener("abort", done); // else the signal would keep one for each frame
      resolve();
    }
  });
}

/** The frame that a video shows, as ImageData. */
export function frameOf(video) {
  const { videoWidth: width, videoHeight: height } = video;
  const zoom = Math.min(1, LONGEST / Math.max(width, height));
  return pixels(video, Math.round(width * zoom), Math.round(height * zoom));
}

/** An image file as ImageData. Throws a DOMException where the browser cannot decode it. */
export async function readImage(file) {
  // Turned by its EXIF orientation; a colour profile is ignored, as Pillow does.
  const bitmap = await createImageBitmap(file, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
  });
  try {
    return pixels(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

function pixels(source, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
