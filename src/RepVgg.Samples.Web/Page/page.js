'use strict';

const $ = id => document.getElementById(id);
const number = new Intl.NumberFormat('en');
const percentFormat = new Intl.NumberFormat('en', { style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percent = value => value < 0.0005 ? '< 0.1%' : percentFormat.format(value);
const fileSize = bytes => bytes < 1e6 ? `${number.format(Math.max(1, Math.round(bytes / 1e3)))} kB` : `${number.format(Math.round(bytes / 1e5) / 10)} MB`;

let image = null, address = null, limit = Infinity, request = null, stream = null;

// Classifies an image and shows where the evidence for a class lies: the predicted one, unless another is given.
async function classify(blob, className) {
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  show(null);
  $('busy').hidden = false;
  try {
    const answer = await predict(blob, className, signal);
    if (!signal.aborted)
      display(blob, answer);
  } catch (error) {
    if (signal.aborted)
      return;
    if (blob !== image)
      $('result').hidden = true;
    show(error.message);
  }
  if (!signal.aborted)
    $('busy').hidden = true;
}

async function predict(blob, className, signal) {
  if (blob.size > limit)
    throw new Error(`The image has ${number.format(blob.size)} bytes; the limit is ${number.format(limit)}.`);
  const query = new URLSearchParams({ explain: true });
  if (className !== undefined)
    query.set('class', className);
  const type = blob.type.startsWith('image/') ? blob.type : 'application/octet-stream';
  // A folder, and a file that was removed since, cannot be read.
  const body = await blob.arrayBuffer().catch(() => { throw new Error('The file cannot be read. Choose it again.'); });
  const response = await fetch(`predict?${query}`, { method: 'POST', headers: { 'Content-Type': type }, body, signal })
    .catch(() => { throw new Error('The server cannot be reached.'); });
  if (!response.ok)
    throw new Error(await reason(response));
  return response.json();
}

async function reason(response) {
  const problem = await response.json().catch(() => ({}));
  return problem.detail ?? problem.title ?? `The server answered ${response.status}.`;
}

function display(blob, answer) {
  if (blob !== image) {
    if (address)
      URL.revokeObjectURL(address);
    image = blob;
    $('picture').src = address = URL.createObjectURL(blob);
  }
  const map = answer.heatMap;
  $('heatmap').src = map.png;
  $('heatmap').alt = `The evidence for ${map.label} in the image`;
  $('heatmap').classList.toggle('small', map.size.width < 128);
  $('picture').classList.toggle('small', answer.image.width < 128);
  // The space of both pictures has the shape of the image, within limits.
  const shape = Math.min(Math.max(answer.image.width / answer.image.height, 0.6), 2.5);
  document.querySelectorAll('.frame').forEach(frame => frame.style.aspectRatio = shape);
  $('explained').textContent = `${map.label} (${percent(map.probability)})`;
  // The buttons are replaced; the keyboard stays where it was.
  const hadFocus = $('classes').contains(document.activeElement);
  $('classes').replaceChildren(...answer.predictions.map(entry => bar(entry, entry.label === map.label)));
  if (hadFocus)
    document.querySelector('#classes [aria-pressed=true]')?.focus();
  const size = `${number.format(answer.image.width)} × ${number.format(answer.image.height)} pixels`;
  $('facts').textContent = `${size}, ${fileSize(answer.bytes)}. Computed in ${number.format(Math.max(1, Math.round(answer.milliseconds)))} ms. Choose a class to see the evidence for it.`;
  $('result').hidden = false;
}

function bar({ label, probability }, isExplained) {
  const item = document.createElement('li'), button = document.createElement('button');
  button.type = 'button';
  button.setAttribute('aria-pressed', isExplained);
  button.append(span('bar', ''), span('name', label), span('probability', percent(probability)));
  button.firstChild.style.width = `${100 * probability}%`;
  button.addEventListener('click', () => classify(image, label));
  item.append(button);
  return item;
}

function span(className, text) {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = text;
  return element;
}

function show(message) {
  $('error').hidden = message === null;
  $('error').textContent = message ?? '';
}

// The camera.

async function openCamera() {
  show(null);
  $('camera').disabled = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
    $('video').srcObject = stream;
    await $('video').play();
    $('viewfinder').hidden = false;
    $('shoot').focus();
  } catch (error) {
    show(`The camera cannot be used: ${error.message}`);
    $('camera').disabled = false;
  }
}

function closeCamera() {
  stream.getTracks().forEach(track => track.stop());
  stream = null;
  $('video').srcObject = null;
  $('viewfinder').hidden = true;
  $('camera').disabled = false;
  $('camera').focus();
}

function takePicture() {
  const video = $('video'), canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext('2d').drawImage(video, 0, 0);
  closeCamera();
  canvas.toBlob(blob => classify(blob), 'image/jpeg', 0.95);
}

// Where images come from.

function take(files) {
  const list = [...files];
  if (list.length > 1)
    show('Choose one image at a time.');
  else if (list.length === 1)
    classify(list[0]);
}

$('file').addEventListener('change', event => {
  take(event.target.files);
  // The same file can be chosen again.
  event.target.value = '';
});
document.addEventListener('paste', event => take(event.clipboardData.files));
document.addEventListener('dragover', event => {
  event.preventDefault();
  $('drop').classList.add('over');
});
document.addEventListener('dragleave', event => {
  if (event.relatedTarget === null)
    $('drop').classList.remove('over');
});
document.addEventListener('drop', event => {
  event.preventDefault();
  $('drop').classList.remove('over');
  take(event.dataTransfer.files);
});

// Browsers offer the camera to local pages and to those of https only.
$('camera').hidden = !navigator.mediaDevices?.getUserMedia;
$('camera').addEventListener('click', openCamera);
$('shoot').addEventListener('click', takePicture);
$('stop').addEventListener('click', closeCamera);

fetch('health').then(async response => {
  const health = await response.json();
  limit = health.maximumUploadBytes;
  $('model').textContent = `${health.architecture}, ${number.format(health.classes.length)} classes (${health.model})`;
  $('limits').textContent = `JPEG, PNG, GIF, BMP or WebP, at most ${fileSize(limit)} and ${number.format(health.maximumPixels / 1e6)} million pixels`;
}).catch(() => show('The server cannot be reached.'));
