// The smallest program that serves a network with ONNX Runtime: model file in, logits out, as bench/RepVgg.FirstResult.
// Arguments: model, pixels (raw float32 file of one image), threads, channels, height, width. Writes the logits as raw
// float32, then waits for the end of its input.
import { readFileSync, readSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(path.join(process.env.PEERS ?? '.', 'package.json')));
const ort = require('onnxruntime-node');

const [model, pixels, ...rest] = process.argv.slice(2);
const [threads, channels, height, width] = rest.map(Number);
const session = await ort.InferenceSession.create(model, {
  intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all',
});
const bytes = readFileSync(pixels);
const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const results = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', data, [1, channels, height, width]) });
const logits = results[session.outputNames[0]].data;
const answer = Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength);
for (let sent = 0; sent < answer.length;) sent += writeSync(1, answer, sent);
while (readSync(0, Buffer.alloc(1)) > 0);
