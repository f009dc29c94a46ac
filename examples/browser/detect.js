// Runs model.onnx, exported with --nms, on a picture: nothing leaves the browser.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const GREY = "rgb(114, 114, 114)"; // of the borders that the detector was trained with
const COLUMNS = 7; // image, x1, y1, x2, y2, score, class

ort.env.wasm.numThreads = 1; // several need headers that a plain file server does not send

const status = document.getElementById("status");
const canvas = document.getElementById("canvas");

async function loadNames() {
  const answer = await fetch("names.json");
  return answer.ok ? answer.json() : {};
}

/** Fit a picture into height × width; return float pixels [1, 3, height, width] and how to get back. */
function letterbox(picture, height, width) {
  const scale = Math.min(width / picture.width, height / picture.height);
  const left = (width - picture.width * scale) / 2;
  const top = (height - picture.height * scale) / 2;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = GREY;
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, left, top, picture.width * scale, picture.height * scale);
  const { data } = context.getImageData(0, 0, width, height); // RGBA, pixel by pixel
  const area = height * width;
  const planes = new Float32Array(3 * area);
  for (let i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++) planes[channel * area + i] = data[4 * i + channel] / 255;
  }
  return { tensor: new ort.Tensor("float32", planes, [1, 3, height, width]), scale, left, top };
}

/** Return [{box: [x1, y1, x2, y2] in pixels of the picture, score, label}]. */
async function detect(session, picture) {
  const [, , height, width] = session.inputMetadata[0].shape;
  const { tensor, scale, left, top } = letterbox(picture, height, width);
  const output = (await session.run({ images: tensor }))[session.outputNames[0]];
  const found = [];
  for (let row = 0; row < output.dims[0]; row++) {
    const [, x1, y1, x2, y2, score, label] = output.data.slice(row * COLUMNS, (row + 1) * COLUMNS);
    const box = [(x1 - left) / scale, (y1 - top) / scale, (x2 - left) / scale, (y2 - top) / scale];
    found.push({ box, score, label });
  }
  return found;
}

function draw(picture, found, names) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  context.lineWidth = Math.max(2, picture.width / 300);
  context.font = `${Math.max(12, picture.width / 40)}px sans-serif`;
  for (const { box: [x1, y1, x2, y2], score, label } of found) {
    context.strokeStyle = context.fillStyle = `hsl(${(label * 137) % 360} 90% 45%)`;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.fillText(`${names[label] ?? label} ${score.toFixed(2)}`, x1, Math.max(y1 - 4, 12));
  }
}

async function show(session, names, blob) {
  const picture = await createImageBitmap(blob);
  const start = performance.now();
  const found = await detect(session, picture);
  draw(picture, found, names);
  status.textContent = `${found.length} found in ${(performance.now() - start).toFixed(0)} ms`;
  document.getElementById("detections").textContent = JSON.stringify(found);
}

async function main() {
  const session = await ort.InferenceSession.create("model.onnx");
  const names = await loadNames();
  status.textContent = "choose a picture";
  document.getElementById("file").addEventListener("change", (event) => show(session, names, event.target.files[0]));
  const given = new URLSearchParams(location.search).get("image"); // index.html?image=picture.jpg
  if (given) await show(session, names, await (await fetch(given)).blob());
}

main().catch((error) => (status.textContent = `error: ${error.message}`));
